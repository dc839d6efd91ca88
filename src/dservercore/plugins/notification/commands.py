"""``flask notification``: what object stores have sent, and what is left to be done because of it."""

from __future__ import annotations

from datetime import datetime, timezone

import click

from dservercore import db
from dservercore.cli.console import Group, count_of, say, say_json
from dservercore.plugins.notification import inbox


@click.group(name="notification", cls=Group)
def notification_cli() -> None:
    """Show and settle what object stores have notified the server of."""


@notification_cli.command(name="status")
@click.option("--json", "as_json", is_flag=True, help="Show it as JSON.")
def status(as_json: bool) -> None:
    """Show when each bucket has sent something, and the datasets that wait, have failed, or are held.

    A dataset is held if too many registrations of its base URI went before it. Times are UTC.

    \b
      flask notification status
    """
    buckets, datasets = inbox.list_buckets(), inbox.list_datasets()
    if as_json:
        say_json({"buckets": buckets, "datasets": datasets})
        return
    for bucket in buckets:
        target = bucket["base_uri"] or "no longer in the configuration"
        received = _time(bucket["received_at"]) if bucket["received_at"] else "never"
        say(f"{bucket['bucket']}  {target}  events {bucket['events']}  last {received}")
    for dataset in datasets:
        what = "removal" if dataset["is_removal"] else "change"
        reason = f"  {dataset['reason'].splitlines()[0]}" if dataset["reason"] else ""
        line = f"{dataset['state']}  {dataset['uri']}  {what}  events {dataset['events']}"
        say(f"{line}  last {_time(dataset['noted_at'])}  attempts {dataset['attempts']}{reason}")
    states = [dataset["state"] for dataset in datasets]
    waiting = states.count("waiting") + states.count("trying")
    say(
        f"{count_of(waiting, 'dataset')} waiting, {states.count('failed')} failed, {states.count('held')} held",
        err=True,
    )


@notification_cli.command(name="retry")
@click.argument("uris", nargs=-1, metavar="[URI]...")
@click.option(
    "--removals", is_flag=True, help="Also let the registrations go that are held, of datasets that are gone."
)
def retry(uris: tuple[str, ...], removals: bool) -> None:
    """Have datasets looked at again about which something has failed: those named, or all.

    \b
      flask notification retry
      flask notification retry --removals
    """
    number = inbox.retry(uris, removals=removals)
    db.commit()
    say(f"{count_of(number, 'dataset')} will be looked at again", err=True)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S}"
