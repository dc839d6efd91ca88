"""What becomes of datasets that are indexed, told line by line: to people, and to programs as JSON."""

from __future__ import annotations

import sys
from collections import Counter
from types import TracebackType
from typing import Any

import click
from tqdm import tqdm

from dservercore.catalog.storage.index_reads import Indexed
from dservercore.catalog.storage.index_runs import Outcome
from dservercore.catalog.storage.pruning import Permit
from dservercore.cli.console import say, say_json_line

_SUMMED: tuple[tuple[Outcome, str], ...] = (
    ("registered", "registered"),
    ("unchanged", "unchanged"),
    ("failed", "failed"),
)
_SUMMED_IF_ANY: tuple[tuple[Outcome, str], ...] = (("not frozen", "not frozen yet"), ("pruned", "removed"))


class Report:
    """Tells on stdout what became of each dataset, above a progress bar on stderr if that is a terminal.

    What failed, and what is odd about a dataset, is told on stderr.

    :param as_json: tell on stdout an object a line, and at the end the sums, instead of lines for people
    """

    def __init__(self, as_json: bool = False) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self._as_json = as_json
        self._bar: tqdm | None = None

    def __enter__(self) -> Report:
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

    def add(self, indexed: Indexed) -> None:
        """Tell what became of one dataset."""
        self.outcomes[indexed.outcome] += 1
        with tqdm.external_write_mode(sys.stdout):
            tell(indexed, self._as_json)
        if self._bar is not None and indexed.outcome != "pruned":
            self._bar.update()

    def end(self, base_uri: str, reason: str | None = None) -> None:
        """Print the sums as JSON, if that is wanted.

        :param reason: why the run was not completed; None: it was
        """
        if self._as_json:
            counts = {_word(outcome): self.outcomes[outcome] for outcome, _ in (*_SUMMED, *_SUMMED_IF_ANY)}
            say_json_line({"base_uri": base_uri, "complete": reason is None, "reason": reason, **counts})

    def __str__(self) -> str:
        parts = [f"{self.outcomes[outcome]} {word}" for outcome, word in _SUMMED]
        parts += [f"{self.outcomes[o]} {word}" for o, word in _SUMMED_IF_ANY if self.outcomes[o]]
        return ", ".join(parts)


def tell(indexed: Indexed, as_json: bool = False) -> None:
    """Tell what became of one dataset: failures and warnings on stderr, the rest, and all JSON, on stdout."""
    if as_json:
        if indexed.outcome != "unchanged" or indexed.warnings:
            say_json_line(_as_object(indexed))
    elif indexed.outcome == "registered":
        say(f"Registered: {indexed.uri}")
    elif indexed.outcome == "pruned":
        say(f"Removed: {indexed.uri}")
    for warning in indexed.warnings:
        say(f"Warning: {indexed.uri}: {warning}", err=True)
    if indexed.outcome == "failed":
        say(f"Failed to register: {indexed.name} {indexed.uri}", err=True)
        say(f"  {indexed.reason}", err=True)


def _as_object(indexed: Indexed) -> dict[str, Any]:
    return {
        "uri": indexed.uri,
        "outcome": _word(indexed.outcome),
        **({"name": indexed.name} if indexed.name else {}),
        **({"reason": indexed.reason} if indexed.reason else {}),
        "warnings": list(indexed.warnings),
    }


def _word(outcome: Outcome) -> str:
    return {"not frozen": "not_frozen", "pruned": "removed"}.get(outcome, outcome)


def may_prune(all_of_them: bool) -> Permit:
    """Return a function that decides whether many registrations are removed.

    :param all_of_them: yes, always; else whoever sits at a terminal is asked, and without a terminal the answer is no
    """

    def decide(base_uri: str, gone: int, registered: int) -> bool:
        if all_of_them:
            return True
        if not sys.stdin.isatty():
            return False
        with tqdm.external_write_mode(sys.stderr):
            return click.confirm(
                f"{gone:,} of the {registered:,} datasets registered in {base_uri} are not in its storage. "
                "Remove their registrations?",
                err=True,
            )

    return decide
