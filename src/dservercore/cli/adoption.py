"""``flask adopt``: from a database of the original server to one of ours."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click
from flask import current_app
from flask.cli import with_appcontext
from tqdm import tqdm

from dservercore import db, plugin_host
from dservercore.catalog import adoption, audit
from dservercore.cli.console import Command, Failure, say
from dservercore.cli.migrations import upgrade_database
from dservercore.scope import OPERATOR

NAMED = 10  # datasets that a message names


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
    if plugin_host.DISTRIBUTION not in current_app.extensions:
        raise Failure("This application is not dservercore: export FLASK_APP=dservercore")
    others = plugin_host.make_retrieve_plugin(current_app, source) if source else None
    plan = adoption.plan()
    if plan is None and others is None:
        say("Nothing to do: this database is ours already", err=True)
        return
    if plan is not None:
        adoption.require_documents(others or plugin_host.plugins().retrieve)
    _confirm(_described(plan, source), yes)
    if plan is not None:
        adoption.forget_revision()
        upgrade_database()
        adoption.set_revision(db.UNFINISHED)
        number = plan.datasets
    else:
        number = adoption.number_of_datasets()
    if others is None:
        with _Bar(number) as told:
            missing = adoption.complete(told)
        db.commit()
    else:
        if plan is not None:
            adoption.count()
            db.commit()
        with _Bar(number) as told:
            missing = adoption.copy_documents(others, told)
    details = {"datasets": number, "without description": len(missing), "documents from": source}
    if plan is not None:
        details |= {"users": plan.users, "base URIs": plan.base_uris}
    audit.record(OPERATOR, "database.adopt" if plan is not None else "documents.copy", details=details)
    if plan is not None:
        adoption.set_revision(db.newest_revision())
    db.commit()
    say(f"Adopted {_count(number, 'dataset')}", err=True)
    _say_missing(missing, source or "the retrieve plugin")


def _described(plan: adoption.Plan | None, source: str | None) -> list[str]:
    lines = []
    if plan is not None:
        at = f"at revision {plan.revision}" if plan.revision else "without a revision"
        lines += [
            f"The database {db.address()}, {at}, holds",
            f"  {_count(plan.users, 'user')}, {_count(plan.base_uris, 'base URI')},"
            f" {_count(plan.datasets, 'dataset')}, which stay as they are.",
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
        raise Failure("Nothing was changed: --yes confirms the plan")
    click.confirm("Go on?", abort=True, err=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


class _Bar:
    """A progress bar on stderr, if that is a terminal."""

    def __init__(self, number: int):
        self._bar = tqdm(total=number, unit=" datasets", file=sys.stderr, disable=None, leave=False)

    def __enter__(self) -> Callable[[], object]:
        return self._bar.update

    def __exit__(self, *_error: object) -> None:
        self._bar.close()


def _say_missing(missing: list[str], source: str) -> None:
    if not missing:
        return
    number = _count(len(missing), "dataset")
    say(f"{number} without a description in {source}, to be described by `flask base_uri index`:", err=True)
    for uri in missing[:NAMED]:
        say(f"  {uri}", err=True)
    if len(missing) > NAMED:
        say(f"  and {len(missing) - NAMED} more", err=True)
