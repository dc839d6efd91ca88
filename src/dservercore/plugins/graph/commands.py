"""``flask graph``: the edges between datasets, for the administrator."""

from __future__ import annotations

import click

from dservercore import db
from dservercore.cli.console import Group, Interruption, count_of, require_server, say
from dservercore.cli.progress import Progress
from dservercore.plugins.graph import rebuilding


@click.group(name="graph", cls=Group)
def graph_cli() -> None:
    """Keep the provenance graph complete."""


@graph_cli.command(name="rebuild")
@click.option("--all", "everything", is_flag=True, help="Of all datasets, not of those alone that lack it.")
def rebuild(everything: bool) -> None:
    """Derive what datasets were made from again, from their READMEs and annotations.

    That is for datasets that were registered before the extension graph was in use, and after other
    DSERVER_DEPENDENCY_KEYS. The server can be in use meanwhile. Whatever is interrupted goes on when it is repeated;
    --all begins anew.

    \b
      flask graph rebuild
      flask graph rebuild --all
    """
    require_server()
    db.require_upgraded()
    number = rebuilding.number_of_datasets() if everything else rebuilding.number_left()
    db.rollback()
    try:
        with Progress("Edges", number, "datasets") as told:
            left = rebuilding.rebuild(everything, told)
    except KeyboardInterrupt:
        db.rollback()
        raise Interruption("Interrupted: `flask graph rebuild` goes on with it") from None
    say(f"Edges derived of {count_of(number - left, 'dataset')}", err=True)
    if left:
        say(
            f"{count_of(left, 'dataset')} left, without a description: see `flask dataset check`",
            err=True,
        )


@graph_cli.command(name="status")
def status() -> None:
    """Say of how many datasets it is known what they were made from.

    \b
      flask graph status
    """
    require_server()
    db.require_upgraded()
    number, left = rebuilding.number_of_datasets(), rebuilding.number_left()
    say(f"{count_of(number - left, 'dataset')} in the graph, {left} to be added")
