"""``flask base_uri``: base URIs, and the datasets in them."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import closing
from types import TracebackType

import click
from tqdm import tqdm

from dservercore import db
from dservercore.catalog import base_uris, indexing, summary
from dservercore.cli.arguments import LOCATION
from dservercore.cli.console import Failure, Group, Interruption, say, say_json
from dservercore.errors import ConflictError, UnknownBaseURIError
from dservercore.permissions import operator_scope
from dservercore.scope import OPERATOR

base_uri_cli = Group("base_uri", help="Manage base URIs, and register the datasets in them.")


@base_uri_cli.command(name="add")
@click.argument("base_uri", type=LOCATION)
def add_base_uri(base_uri: str) -> None:
    """Add BASE_URI, a place that holds datasets.

    Such a place is a bucket, a share or a directory. The path of a directory on this machine becomes a file:// URI.
    Next, register the datasets that are there, and let users find them:

    \b
      flask base_uri add s3://my-bucket
      flask base_uri index s3://my-bucket
      flask user search_permission alice s3://my-bucket
    """
    try:
        base_uris.add_base_uri(base_uri, actor=OPERATOR)
    except ConflictError:
        raise Failure(f"Base URI '{base_uri}' already registered") from None
    db.commit()


@base_uri_cli.command(name="list")
def list_base_uris() -> None:
    """List the base URIs, and who has permissions on them, as JSON."""
    say_json(base_uris.list_base_uris()[0])


@base_uri_cli.command(name="delete")
@click.argument("base_uri", type=LOCATION)
@click.option("--with-datasets", is_flag=True, help="Delete the registrations of its datasets too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete_base_uri(base_uri: str, with_datasets: bool, yes: bool) -> None:
    """Delete BASE_URI and the permissions on it.

    The datasets themselves stay where they are stored. It is no error if BASE_URI is not registered.
    """
    held = sum(summary.datasets_per_base_uri(operator_scope("register").narrowed_to([base_uri])).values())
    if held and not with_datasets:
        raise Failure(
            f"Base URI '{base_uri}' still holds {_datasets(held)}: "
            "--with-datasets deletes their registrations too"
        )
    if held and not yes and sys.stdin.isatty():
        click.confirm(f"Delete the registrations of {_datasets(held)}?", abort=True, err=True)
    base_uris.delete_base_uri(base_uri, with_datasets, actor=OPERATOR)
    db.commit()


def _datasets(number: int) -> str:
    return f"{number} dataset{'' if number == 1 else 's'}"


@base_uri_cli.command(name="index")
@click.argument("base_uri", type=LOCATION)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    metavar="N",
    help="Read N datasets from storage at the same time.",
)
@click.option("--full", is_flag=True, help="Read what has not changed since it was registered again.")
@click.option(
    "--prune",
    is_flag=True,
    help="Remove registrations whose dataset is gone from storage. Make sure that the storage is mounted.",
)
def index_base_uri(base_uri: str, jobs: int, full: bool, prune: bool) -> None:
    """Register the datasets that are stored in BASE_URI.

    Datasets that are registered and have not changed are skipped where the storage tells that they have not
    (directories and S3 do). One that cannot be registered is reported, and the others go on. Datasets that are not
    frozen yet are left out.

    It can be interrupted: what was reported is registered. The exit code is 1 if any dataset failed.

    \b
      flask base_uri index s3://my-bucket --jobs 16
    """
    report = _Report()
    done = indexing.index_base_uri(
        operator_scope("register"), base_uri, jobs=jobs, full=full, prune=prune, started=report.start
    )
    with report, closing(done):
        try:
            for indexed in done:
                report.add(indexed)
        except UnknownBaseURIError:
            raise Failure(f"Base URI '{base_uri}' not registered") from None
        except KeyboardInterrupt:
            raise Interruption(f"Interrupted: {report}; run it again for the rest") from None
    say(str(report), err=True)
    if report.outcomes["failed"]:
        sys.exit(1)


class _Report:
    """Tells on stdout what became of each dataset, above a progress bar on stderr if that is a terminal."""

    def __init__(self) -> None:
        self.outcomes: Counter[indexing.Outcome] = Counter()
        self._bar: tqdm | None = None

    def __enter__(self) -> _Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def start(self, number_of_datasets: int) -> None:
        """Show the bar, for so many datasets."""
        self._bar = tqdm(
            total=number_of_datasets, unit=" datasets", file=sys.stderr, disable=None, leave=False
        )

    def add(self, indexed: indexing.Indexed) -> None:
        """Tell what became of one dataset."""
        self.outcomes[indexed.outcome] += 1
        with tqdm.external_write_mode(sys.stdout):
            for line in _lines(indexed):
                say(line)
        if self._bar is not None and indexed.outcome != "pruned":
            self._bar.update()

    def __str__(self) -> str:
        parts = [f"{self.outcomes[outcome]} {outcome}" for outcome in ("registered", "unchanged", "failed")]
        for outcome, word in (("not frozen", "not frozen yet"), ("pruned", "removed")):
            if self.outcomes[outcome]:  # type: ignore[index]
                parts.append(f"{self.outcomes[outcome]} {word}")  # type: ignore[index]
        return ", ".join(parts)


def _lines(indexed: indexing.Indexed) -> list[str]:
    if indexed.outcome == "registered":
        return [f"Registered: {indexed.uri}"]
    if indexed.outcome == "failed":
        return [f"Failed to register: {indexed.name} {indexed.uri}", f"  {indexed.reason}"]
    if indexed.outcome == "pruned":
        return [f"Removed: {indexed.uri}"]
    return []
