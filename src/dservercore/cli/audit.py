"""``flask audit``: who did what."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

import click
import orjson
from flask.cli import with_appcontext

from dservercore import db
from dservercore.catalog import audit
from dservercore.catalog.scope import OPERATOR
from dservercore.cli.arguments import MOMENT
from dservercore.cli.console import Group, errors_in_one_line, say, say_json

HEADER = ("TIME (UTC)", "WHO", "ACTION", "ON", "FROM", "DETAILS")


@click.group(name="audit", cls=Group, invoke_without_command=True)
@click.option("--actor", metavar="NAME", help="Acts of this user, or of operator:NAME at the command line.")
@click.option(
    "--action", metavar="ACTION", help="Acts of this kind; with a dot at its end, all that begin so."
)
@click.option("--subject", metavar="WHAT", help="Acts on this user, base URI or dataset.")
@click.option("--base-uri", metavar="BASE_URI", help="Acts that have to do with this base URI.")
@click.option("--since", type=MOMENT, metavar="TIME", help="Acts since then: 7d (ago), or 2026-11-24T10:30.")
@click.option("--until", type=MOMENT, metavar="TIME", help="Acts before then.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="Show at most so many.",
)
@click.option("--json", "as_json", is_flag=True, help="Show them as JSON.")
@click.pass_context
@with_appcontext
def audit_cli(context: click.Context, limit: int, as_json: bool, **wanted: Any) -> None:
    """Show who did what to users, permissions, base URIs and registrations, newest first.

    Times are UTC. What was done here, at the command line, is recorded as of operator: and the name of the operating
    system's user.

    \b
      flask audit --since 7d
      flask audit --subject alice --action grant.
    """
    if context.invoked_subcommand:
        return
    with errors_in_one_line():
        found, total = audit.list_records(audit.Filter(**wanted), slice(0, limit))
    if as_json:
        say_json(found)
        return
    for line in _table(HEADER, map(_cells, found)):
        say(line)
    if total > len(found):
        say(f"{total - len(found)} older ones are not shown; --limit shows more", err=True)


def _cells(record: dict[str, Any]) -> tuple[str, ...]:
    at = datetime.fromtimestamp(record["at"], timezone.utc)
    where = record["base_uri"] if record["action"].startswith(("grant.", "revoke.")) else None
    details = {**record["details"], **({"base_uri": where} if where else {})}
    return (
        f"{at:%Y-%m-%d %H:%M:%S}",
        record["actor"] or "-",
        record["action"],
        record["subject"] or "-",
        record["origin"],
        orjson.dumps(details).decode() if details else "",
    )


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


@audit_cli.command(name="prune")
@click.option(
    "--before",
    type=MOMENT,
    required=True,
    metavar="TIME",
    help="Delete the records of acts before then: 2y (ago), or 2024-01-01.",
)
def prune(before: datetime) -> None:
    """Delete old records.

    That it was done, when and by whom is a new record.

    \b
      flask audit prune --before 2y
    """
    number = audit.prune(OPERATOR, before)
    db.commit()
    say(f"Deleted {number} record{'' if number == 1 else 's'}", err=True)
