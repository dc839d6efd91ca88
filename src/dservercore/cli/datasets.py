"""``flask dataset``: single datasets."""

from __future__ import annotations

import click

from dservercore import db, uris
from dservercore.catalog import datasets, indexing, metadata
from dservercore.cli.arguments import LOCATION
from dservercore.cli.console import Failure, Group, say, say_json, say_json_list
from dservercore.errors import UnknownBaseURIError
from dservercore.permissions import operator_scope
from dservercore.scope import OPERATOR, Scope

dataset_cli = Group("dataset", help="Register, list, show and delete datasets.")


@dataset_cli.command(name="register")
@click.argument("uri", type=LOCATION)
def register(uri: str) -> None:
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
    if done.outcome != "registered":
        raise Failure(f"Failed to register: {done.name} {uri}", f"  {done.reason}")
    db.commit()
    say(f"Registered: {uri}")


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
    found = datasets.iterate(scope_of(base_uri))
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
def show(uri: str) -> None:
    """Show the dataset URI as it is registered, as JSON.

    Times are seconds since 1970-01-01 UTC.
    """
    scope = operator_scope("search")
    try:
        dataset = datasets.find(scope, uri)
    except UnknownBaseURIError:
        raise Failure(f"Base URI '{uris.parent(uri)}' not registered") from None
    say_json({**dataset, "tags": metadata.get_tags(scope, uri)})


@dataset_cli.command(name="delete")
@click.argument("uri", type=LOCATION)
def delete(uri: str) -> None:
    """Delete the registration of the dataset URI.

    The dataset itself stays where it is stored. It is no error if it is not registered.
    """
    try:
        datasets.delete_dataset(operator_scope("register"), uri, actor=OPERATOR)
    except UnknownBaseURIError:
        return  # then it is not registered either
    db.commit()
