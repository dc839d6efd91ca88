"""``flask adopt``: from a database of the original server to one of ours."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import DBAPIError

from dservercore import db, plugin_host
from dservercore.catalog import adoption, audit
from dservercore.catalog.scope import OPERATOR
from dservercore.cli.console import Command, Failure, Interruption, count_of, require_server, say
from dservercore.cli.migrations import run_migrations
from dservercore.cli.progress import Progress, Waiting
from dservercore.db import servers, sql_db
from dservercore.plugin_api import RetrieveABC

NAMED = 10  # datasets that a message names
POLL_SECONDS = 0.5

IN_USE = "Another program is writing to the database: stop the original server, and run `flask adopt` again"


@click.command(name="adopt", cls=Command)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--documents-from",
    "source",
    metavar="PLUGIN",
    help="Copy READMEs, manifests, annotations and tags from this retrieve plugin (such as mongo) into those in use.",
)
@with_appcontext
def adopt_command(yes: bool, source: str | None) -> None:
    """Take over the database of an original server.

    Users, base URIs, permissions and datasets stay as they are, and so do the documents in MongoDB, if the mongo
    plugins are named in the settings. The plan is shown, and nothing is changed before it is confirmed. Stop the
    original server, and make a backup of both databases first.

    \b
      export SQLALCHEMY_DATABASE_URI=...   # as the original server has it
      export DSERVER_SEARCH_PLUGIN=mongo DSERVER_RETRIEVE_PLUGIN=mongo
      flask adopt

    To have everything in the SQL database instead, name no plugins, and where the documents are:

    \b
      flask adopt --documents-from mongo
    """
    require_server()
    with _interruptible():
        others = plugin_host.make_retrieve_plugin(current_app, source) if source else None
        plan = adoption.plan()
        if plan is None and others is None:
            say("Nothing to do: this database is ours already", err=True)
            return
        if plan is not None:
            adoption.require_documents(others or plugin_host.make_retrieve_plugin(current_app))
        number = adoption.number_of_datasets()
        db.close_connections()  # nobody waits for us while we wait for an answer
        servers.limit_locks(sql_db.engine)  # nor do we wait for an original server that goes on
        _confirm(_described(plan, number, source), yes)
        missing = _take_over(plan is not None, number, others)
        _record(plan, number, missing, source)
        _wait_for_search()
    say(f"Adopted {count_of(number, 'dataset')}", err=True)
    _say_missing(missing, source or "the retrieve plugin")


def _take_over(is_theirs: bool, number: int, others: RetrieveABC | None) -> list[str]:
    """Take over the tables, the tags and the documents; return the datasets without a description.

    :param is_theirs: whether the tables are those of the original, at least in part
    :param number: how many datasets there are
    :param others: the plugin whose documents are copied; None: they stay where they are
    """
    if is_theirs:
        adoption.begin()
        run_migrations()
    if others is None:
        with Progress("Tags", number, "datasets") as told:
            missing = adoption.complete(told)
        db.commit()
    else:
        if is_theirs:
            adoption.count()
            db.commit()
        with Progress("Documents", number, "datasets") as told:
            missing = adoption.copy_documents(others, told)
    if is_theirs:
        adoption.end()
    return missing


def _record(plan: adoption.Plan | None, number: int, missing: list[str], source: str | None) -> None:
    """Put a record of the adoption into the audit."""
    details = {"datasets": number, "without description": len(missing), "documents from": source}
    if plan is not None:
        details |= {"users": plan.users, "base URIs": plan.base_uris}
    audit.record(OPERATOR, "database.adopt" if plan is not None else "documents.copy", details=details)
    db.commit()


@contextmanager
def _interruptible() -> Iterator[None]:
    """End the command with what to do, if the ``with`` block is interrupted or the database is in use."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interruption("Interrupted: run `flask adopt` again to go on") from None
    except DBAPIError as error:
        if not db.is_in_use(error):
            raise
        raise Failure(IN_USE) from error


def _wait_for_search() -> None:
    """Wait until every dataset can be found, or until the search plugin makes no progress."""
    search = plugin_host.plugins().search
    with Waiting("Search") as waiting:
        while (left := search.ready()) is not None:
            if waiting.is_in_vain(left):
                say(f"Not everything can be found yet: {left}", err=True)
                say("The server goes on with it, and /config/ready tells when it is through", err=True)
                return
            time.sleep(POLL_SECONDS)


def _described(plan: adoption.Plan | None, number: int, source: str | None) -> list[str]:
    lines = []
    if plan is not None:
        at = f"at revision {plan.revision}" if plan.revision else "without a revision"
        lines += [
            f"The database {db.address()}, {at}, holds",
            f"  {count_of(plan.users, 'user')}, {count_of(plan.base_uris, 'base URI')},"
            f" {count_of(number, 'dataset')}, which stay as they are.",
        ]
        if plan.new_tables:
            lines.append(f"It gets the tables {', '.join(plan.new_tables)}.")
        if plan.new_columns:
            lines.append(f"It gets the columns {', '.join(plan.new_columns)}.")
        lines.append(
            "Its revision becomes that of this server, and the figures of the summaries are counted."
        )
    held = plugin_host.plugins()
    retrieve = plugin_host.name_of(held.retrieve)
    if source:
        stores = " and ".join(dict.fromkeys([plugin_host.name_of(held.search), retrieve]))
        lines.append(f"READMEs, manifests, annotations and tags are copied from {source} to {stores}.")
    else:
        lines.append(f"The tags of the datasets are read from {retrieve}.")
    return lines


def _confirm(plan: list[str], yes: bool) -> None:
    for line in plan:
        say(line)
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure("Nothing was changed: an answer is only taken from a terminal; --yes confirms the plan")
    click.confirm("Go on?", abort=True, err=True)


def _say_missing(missing: list[str], source: str) -> None:
    if not missing:
        return
    number = count_of(len(missing), "dataset")
    say(f"{number} without a description in {source}, to be described by `flask base_uri index`:", err=True)
    for uri in missing[:NAMED]:
        say(f"  {uri}", err=True)
    if len(missing) > NAMED:
        say(f"  and {len(missing) - NAMED} more", err=True)
