"""``flask dataset check``: whether the stores say the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from tqdm import tqdm

from dservercore import db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import audit
from dservercore.catalog.consistency.storage import check_storage
from dservercore.catalog.consistency.stores import Difference, check
from dservercore.catalog.scope import OPERATOR
from dservercore.catalog.storage.pruning import TooManyGoneError
from dservercore.cli.arguments import LOCATION
from dservercore.cli.console import say
from dservercore.cli.datasets import dataset_cli, scope_of
from dservercore.cli.index_report import may_prune
from dservercore.errors import DserverError


@dataset_cli.command(name="check")
@click.option(
    "--base-uri", type=LOCATION, metavar="BASE_URI", help="Look only at the datasets in this base URI."
)
@click.option(
    "--storage",
    "with_storage",
    is_flag=True,
    help="Look at the datasets in storage, too: those that are missing there, not registered, or changed.",
)
@click.option("--repair", is_flag=True, help="Mend what differs.")
@click.option(
    "--prune-all",
    is_flag=True,
    help="With --storage --repair: remove the registrations of datasets that are missing there, however many.",
)
def check_datasets(base_uri: str | None, with_storage: bool, repair: bool, prune_all: bool) -> None:
    """Check that all stores say the same about the registered datasets.

    Compared are the SQL database, the stores of the search and the retrieve plugin, what extensions keep of datasets,
    the figures of the summaries, and the journal of writes that were cut short. Each difference is a line: where it is,
    what it is about, and what differs. The exit code is 1 if there is any. The server may go on serving meanwhile.

    --repair mends what it can, and tells how: the SQL database decides which datasets there are and which tags they
    have, the retrieve plugin what describes them. With --storage, what is missing there is no longer registered, and
    what is not registered, or has changed, is registered as it is there. Where more than half of a base URI's datasets
    are missing (DSERVER_PRUNE_LIMIT), it may not be mounted: these stay registered, unless you say yes on a terminal,
    or --prune-all. The exit code is 1 if anything could not be mended.

    \b
      flask dataset check
      flask dataset check --repair
      flask dataset check --storage --base-uri s3://my-bucket
    """
    scope, register_scope = scope_of(base_uri), operator_scope("register")
    bar = tqdm(total=0, unit=" datasets", file=sys.stderr, disable=None, leave=False)

    def started(number: int) -> None:
        bar.reset(total=number)

    def found() -> Iterator[Difference]:
        yield from check(scope, register_scope, started, bar.update)
        if with_storage:
            permit = may_prune(prune_all)
            yield from check_storage(scope, register_scope, started, bar.update, permit)

    report = _Report(repair)
    try:
        # What is mended may be what the next difference is about, so everything is looked at first.
        for difference in list(found()) if repair else found():
            with tqdm.external_write_mode(sys.stdout):
                report.add(difference)
    finally:
        bar.close()
    if report.mended:
        audit.record(OPERATOR, "datasets.repair", details={"mended": report.mended, "left": report.left})
        db.commit()
    say(str(report), err=True)
    for refusal in report.refusals:
        say(refusal, err=True)
    if report.left:
        sys.exit(1)


class _Report:
    """Prints each difference, and what became of it.

    :param repair: whether differences are mended
    :ivar left: how many differences were not mended
    :ivar refusals: why differences were not mended of which there are too many, each reason once
    """

    def __init__(self, repair: bool) -> None:
        self._repair = repair
        self._found = 0
        self.left = 0
        self.refusals: list[str] = []

    def add(self, difference: Difference) -> None:
        """Print a difference, and mend it if that is asked for."""
        self._found += 1
        line = f"{difference.store}: {difference.subject} {difference.what}"
        if self._repair:
            try:
                line += f": {difference.mend()}"
            except TooManyGoneError as error:
                line += ": NOT MENDED, too many are missing"
                self.left += 1
                if error.message not in self.refusals:
                    self.refusals.append(error.message)
            except (LookupError, DserverError) as error:
                db.rollback()
                line += f": NOT MENDED, {error}"
                self.left += 1
        else:
            self.left += 1
        say(line)

    @property
    def mended(self) -> int:
        """How many differences were mended."""
        return self._found - self.left

    def __str__(self) -> str:
        if not self._found:
            return "All stores agree"
        number = f"{self._found} difference{'' if self._found == 1 else 's'}"
        if not self._repair:
            return f"{number}: --repair mends what it can"
        return f"{number}, {self.mended} mended"
