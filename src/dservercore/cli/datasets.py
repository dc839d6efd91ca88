"""``flask dataset``: single datasets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import click

from dservercore import db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import deletion, lookup, metadata
from dservercore.catalog.scope import OPERATOR, Scope
from dservercore.catalog.storage import indexing
from dservercore.cli import table
from dservercore.cli.arguments import LOCATION
from dservercore.cli.console import Failure, Group, say, say_json, say_json_list
from dservercore.cli.index_report import tell
from dservercore.cli.progress import size_in_words
from dservercore.dataset import uris
from dservercore.errors import UnknownBaseURIError, UnknownURIError

dataset_cli = Group("dataset", help="Register, list, show and delete datasets.")


@dataset_cli.command(name="register")
@click.argument("uri", type=LOCATION)
@click.option("--json", "as_json", is_flag=True, help="Print what became of it as JSON, on one line.")
def register(uri: str, as_json: bool) -> None:
    """Register the dataset at URI, or register it anew.

    URI may be the path of a directory, as in dtool. The dataset must be frozen, and its base URI registered (`flask
    base_uri add`). To register all datasets of a base URI: `flask base_uri index`.

    \b
      flask dataset register s3://my-bucket/8ecd8e05-558a-48e2-b563-0c9ea273e71e
    """
    try:
        done = indexing.register_from_storage(operator_scope("register"), uri)
    except UnknownBaseURIError:
        raise Failure(f"Base URI '{uris.parent(uri)}' not registered") from None
    if done.outcome == "registered":
        db.commit()
    tell(done if done.outcome == "registered" else replace(done, outcome="failed"), as_json)
    if done.outcome != "registered":
        sys.exit(1)


@dataset_cli.command(name="list")
@click.option(
    "--base-uri", type=LOCATION, metavar="BASE_URI", help="List only the datasets in this base URI."
)
@click.option("--uris", "only_uris", is_flag=True, help="Print only the URIs, one a line.")
def list_datasets(base_uri: str | None, only_uris: bool) -> None:
    """List the registered datasets by URI, as JSON.

    \b
      flask dataset list --base-uri s3://my-bucket --uris
    """
    found = lookup.iterate(scope_of(base_uri))
    if only_uris:
        for dataset in found:
            say(dataset["uri"])
    else:
        say_json_list(found)


def scope_of(base_uri: str | None) -> Scope:
    """Return the search scope of the operator, or the part of it that is one base URI."""
    everything = operator_scope("search")
    if base_uri is None:
        return everything
    if base_uri not in everything:
        raise Failure(f"Base URI '{base_uri}' not registered")
    return everything.narrowed_to([base_uri])


@dataset_cli.command(name="show")
@click.argument("uri", type=LOCATION)
@click.option(
    "--json/--text",
    "as_json",
    default=None,
    help="Show it as JSON, with times in seconds since 1970-01-01 UTC, or as text.  [default: text on a terminal]",
)
def show(uri: str, as_json: bool | None) -> None:
    """Show the dataset URI as it is registered.

    It is shown with its README, annotations and tags, which may be edited, and differ from what is in its storage. On a
    terminal it is text to read, for programs it is JSON.

    \b
      flask dataset show s3://my-bucket/8ecd8e05-558a-48e2-b563-0c9ea273e71e
      flask dataset show --text /data/datasets/beans | less
    """
    scope = operator_scope("search")
    try:
        dataset = lookup.find(scope, uri)
    except UnknownBaseURIError:
        raise Failure(f"Base URI '{uris.parent(uri)}' not registered") from None
    description: dict[str, Any] = {
        "tags": metadata.get_tags(scope, uri),
        "annotations": metadata.get_annotations(scope, uri),
        "readme": metadata.get_readme(scope, uri),
    }
    if not sys.stdout.isatty() if as_json is None else as_json:
        say_json({**dataset, **description})
        return
    for line in _lines_about(dataset, **description):
        say(line)


#: Fields of a dataset that are shown under words of their own; others are shown under their names.
_IN_WORDS = {
    "base_uri",
    "created_at",
    "creator_username",
    "frozen_at",
    "name",
    "number_of_items",
    "size_in_bytes",
    "uploaded_at",
    "uploaded_by",
    "uri",
    "uuid",
}


def _size(size: int | None) -> str:
    if size is None:
        return "-"
    return size_in_words(size) if size < 1000 else f"{size_in_words(size)} ({size:,} bytes)"


def _lines_about(
    dataset: dict[str, Any], tags: list[str], annotations: dict[str, Any], readme: str
) -> Iterator[str]:
    items, size = dataset["number_of_items"], dataset["size_in_bytes"]
    yield dataset["name"]
    yield from table.aligned(
        [
            ("  URI", table.cell(dataset["uri"])),
            ("  UUID", table.cell(dataset["uuid"])),
            ("  Base URI", table.cell(dataset["base_uri"])),
            ("  Creator", table.cell(dataset["creator_username"])),
            ("  Created", _when(dataset["created_at"])),
            ("  Frozen", _when(dataset["frozen_at"])),
            ("  Registered", _when(dataset["uploaded_at"])),
            ("  Registered by", table.cell(dataset["uploaded_by"] or "the command line")),
            ("  Files", table.cell(items)),
            ("  Size", _size(size)),
            ("  Tags", table.cell(", ".join(tags))),
            *((f"  {name}", table.cell(dataset[name])) for name in dataset if name not in _IN_WORDS),
        ]
    )
    yield from ("", "Annotations", *([] if annotations else ["  -"]))
    for name, value in annotations.items():
        yield f"  {name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
    yield from ("", "README", *([] if readme.strip() else ["  -"]))
    yield from (f"  {line}".rstrip() for line in readme.strip("\n").splitlines())


def _when(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


#: Datasets that are named where something depends on what is deleted.
_MOST_NAMED = 10


@dataset_cli.command(name="delete")
@click.argument("uri", type=LOCATION)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete(uri: str, yes: bool) -> None:
    """Delete the registration of the dataset URI.

    The dataset itself stays where it is stored. It is no error if it is not registered; a line on stderr says so.

    Where extensions know what depends on it, such as datasets that were made from it (`graph`), that is said on stderr;
    at a terminal, you are asked before it is deleted.
    """
    if _tell_dependents(uri) and not yes and sys.stdin.isatty():
        click.confirm("Delete its registration?", abort=True, err=True)
    try:
        is_deleted = deletion.delete_dataset(operator_scope("register"), uri, actor=OPERATOR)
    except UnknownBaseURIError:
        is_deleted = False  # then it is not registered either
    db.commit()
    if not is_deleted:
        say(f"Dataset '{uri}' was not registered: nothing deleted", err=True)


def _tell_dependents(uri: str) -> bool:
    """Say on stderr what depends on a dataset. Return whether anything does."""
    scope = operator_scope("search")
    try:
        found = deletion.dependents_of(scope, lookup.find(scope, uri))
    except (UnknownBaseURIError, UnknownURIError):
        return False
    for each in found:
        named = each.datasets[:_MOST_NAMED]
        say(f"Datasets that {each.why}:", err=True)
        for dataset in named:
            say(f"  {dataset['uri']} ({dataset['name']})", err=True)
        if each.number is None:
            say("  and more", err=True)
        elif each.number > len(named):
            say(f"  and {each.number - len(named):,} more", err=True)
    return bool(found)
