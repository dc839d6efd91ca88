"""``flask search``: what people look for, in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from itertools import chain
from typing import TYPE_CHECKING, Any

import click
from flask.cli import with_appcontext

from dservercore.auth import permissions
from dservercore.catalog import search, structured_search
from dservercore.catalog.scope import Scope
from dservercore.catalog.search import DatasetObject, Report
from dservercore.cli import table
from dservercore.cli.console import Command, count_of, require_server, say, say_json_list
from dservercore.cli.progress import size_in_words
from dservercore.dataset import csv_lines
from dservercore.dataset.values import is_blank
from dservercore.printable import printable_lines

if TYPE_CHECKING:
    from flask_smorest.pagination import PaginationParameters

    from dservercore.rest.sort import SortParameters

#: Datasets of a table, unless told otherwise.
SHOWN = 20

#: Datasets that are printed of those that a structured query finds, unless told otherwise.
MOST_OF_EXTENSION = 1000

_HEADER = ("NAME", "CREATOR", "FROZEN", "SIZE", "FILES", "URI")
_TO_THE_RIGHT = (3, 4)

# Columns of a terminal in which a name can be told, if its end is left out.
_SHORT_NAME = 24


@click.command(name="search", cls=Command)
@click.argument("words", nargs=-1, required=True)
@click.option("--as", "username", metavar="USER", help="Search what USER may search, not everything.")
@click.option("--strict", is_flag=True, help="Find just what is asked: correct no word, and leave none out.")
@click.option(
    "--sort",
    default="-relevance",
    metavar="FIELDS",
    help="Fields to sort by, with commas between them; - in front: descending.  [default: the best match first]",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Show at most so many.  [default: {SHOWN} in a table, all with --json and --csv]",
)
@click.option(
    "--page", type=click.IntRange(min=1), default=1, metavar="N", help="Show the Nth page of so many."
)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print them as CSV, for a spreadsheet.")
@with_appcontext
def search_command(
    words: tuple[str, ...],
    username: str | None,
    strict: bool,
    sort: str,
    limit: int | None,
    page: int,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Search the registered datasets for WORDS.

    WORDS are the same as in the search of the REST API: "smart meters", name:rice, size:>1GB, -excluded. Put what
    has quotation marks, parentheses, < or > in it, or begins with -, into single quotation marks, all in one. What was
    done to the words, and how many datasets were found, is said on stderr. To find nothing is no failure.

    \b
      flask search rice leaves
      flask search 'size:>1GB (rice OR wheat) -draft' --sort -frozen_at
      flask search rice --as alice --csv > rice.csv
      flask search '{"readme.project": "rice"}'  # with the extension query
    """
    # Every other command starts sooner without what these bring.
    from flask_smorest.pagination import PaginationParameters

    from dservercore.rest.sort import RELEVANCE, SortParameters

    require_server()
    text = " ".join(words)
    if is_blank(text):
        raise click.UsageError("WORDS are blank.")
    if as_json and as_csv:
        raise click.UsageError("Give either --json or --csv.")
    scope = permissions.scope_of_user(username) if username else permissions.operator_scope("search")
    query, order = {"free_text": text}, SortParameters(sort)
    batches: Iterator[list[DatasetObject]]
    extension = structured_search.extension_for(text)
    if extension:
        page_size = limit or (MOST_OF_EXTENSION if as_json or as_csv else SHOWN)
        rows = slice((page - 1) * page_size, page * page_size)
        by = {field: sign for field, sign in order.order.items() if field != RELEVANCE}
        answered = structured_search.structured_page(extension, scope, text, {}, by, rows)
        total, done, batches = answered.total, None, iter([answered.datasets])
        if (as_json or as_csv) and total > page_size:
            say(f"These are the first {page_size}: --limit and --page give others", err=True)
    elif (as_json or as_csv) and limit is None:
        everything = search.search_all(scope, query, order, is_strict=strict)
        total, done = len(everything.keys), everything.done
        batches = map(everything.fetch, everything.slices())
    else:
        found, total, done = _page(scope, query, order, strict, PaginationParameters(page, limit or SHOWN))
        batches = iter([found])
    _say_what_was_done(done, total)
    if as_json:
        say_json_list(chain.from_iterable(batches))
    elif as_csv:
        _say_csv(batches)
    elif total:
        for line in _table(next(batches), table.width_of_terminal()):
            say(line)
        _say_what_is_shown(page, limit or SHOWN, total)


def _page(
    scope: Scope, query: dict[str, Any], order: SortParameters, strict: bool, page: PaginationParameters
) -> tuple[list[DatasetObject], int, dict[str, Any] | None]:
    """Return the datasets of a page, how many there are altogether, and what was done to the query."""
    report = Report()
    found = search.search(scope, query, page, order, is_strict=strict, report=report)
    return found, page.item_count or 0, report.done


def _say_what_was_done(done: dict[str, Any] | None, total: int) -> None:
    if not total:
        say("No dataset found", err=True)
        return
    for typed, read_as in (done or {}).get("corrected", {}).items():
        say(f"No dataset has {typed}: showing results for {' or '.join(read_as)}", err=True)
    if done and done["strict_total"] < total:
        have = "has" if done["strict_total"] == 1 else "have"
        say(
            f"{count_of(total, 'dataset')} found, of which {done['strict_total'] or 'none'} {have} all of the words"
            " as they are typed (--strict: no others)",
            err=True,
        )
    else:
        say(f"{count_of(total, 'dataset')} found", err=True)


def _say_what_is_shown(page: int, size: int, total: int) -> None:
    first, last = (page - 1) * size + 1, min(page * size, total)
    if first > total:
        say(f"There is no page {page}: the last one is {-(-total // size)}", err=True)
    elif last < total:
        say(f"These are {first} to {last}; --page {page + 1} shows the next ones", err=True)


def _say_csv(batches: Iterator[list[DatasetObject]]) -> None:
    """Print CSV: what is in the texts as it is, but on a terminal, where it could act."""
    for text in chain([csv_lines.header()], map(search.csv_of, batches)):
        if sys.stdout.isatty():
            text = printable_lines(text.replace("\r\n", "\n"), sys.stdout.encoding or "utf-8")
            click.echo(text, nl=False)
        else:
            click.echo(text.encode(), nl=False)


def _table(datasets: Sequence[DatasetObject], width: int | None) -> list[str]:
    """Return the lines of a table; the URI has a line of its own where a terminal is too narrow.

    :param width: of the terminal; None: it is none
    """
    if not datasets:
        return []
    rows = [_HEADER, *map(_cells, datasets)]
    lines = table.aligned(rows, _TO_THE_RIGHT)
    if width is None or max(map(table.width, lines)) <= width:
        return lines
    room = width - _room_beside(rows, len(_HEADER))
    if room >= _SHORT_NAME:
        return table.aligned([(table.shortened(row[0], room), *row[1:]) for row in rows], _TO_THE_RIGHT)
    room = max(_SHORT_NAME, width - _room_beside(rows, len(_HEADER) - 1))
    short = [(table.shortened(row[0], room), *row[1:-1]) for row in rows]
    below = ["  URI", *(f"  {row[-1]}" for row in rows[1:])]
    return list(chain.from_iterable(zip(table.aligned(short, _TO_THE_RIGHT), below, strict=True)))


def _room_beside(rows: Sequence[tuple[str, ...]], columns: int) -> int:
    """Return how much room the columns behind the first one take, up to a number of them."""
    return 2 + max(map(table.width, table.aligned([row[1:columns] for row in rows])))


def _cells(dataset: DatasetObject) -> tuple[str, ...]:
    size = dataset["size_in_bytes"]
    frozen = datetime.fromtimestamp(dataset["frozen_at"], timezone.utc)
    return (
        table.cell(dataset["name"]),
        table.cell(dataset["creator_username"]),
        f"{frozen:%Y-%m-%d}",
        table.cell(None if size is None else size_in_words(size)),
        table.cell(dataset["number_of_items"]),
        table.cell(dataset["uri"]),
    )
