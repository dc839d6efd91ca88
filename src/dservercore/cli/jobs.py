"""``flask worker`` does what is in the queue, ``flask jobs`` shows and settles it."""

from __future__ import annotations

import signal
import threading
from datetime import datetime, timezone

import click
from flask.cli import with_appcontext

from dservercore import db
from dservercore.catalog import job_runs, jobs
from dservercore.cli.console import CommandWithRoutes, Failure, Group, count_of, require_server, say, say_json


@click.command(name="worker", cls=CommandWithRoutes)
@click.option("--once", is_flag=True, help="Do what is due, and end.")
@with_appcontext
def worker_command(once: bool) -> None:
    """Do the queued jobs of extensions, such as notifications, until SIGTERM or Ctrl-C.

    The job in hand is done before it ends. Any number may run at the same time, on any machine that reaches the
    database. `flask serve` runs one itself unless it is told not to.

    \b
      flask worker
      flask worker --once
    """
    require_server()
    db.require_upgraded()
    is_over = threading.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: is_over.set())
    if not once:
        kinds = ", ".join(sorted(jobs.handlers())) or "no kind: no extension that is in use has any"
        say(f"Waiting for jobs of {kinds}", err=True)
    number = job_runs.work(is_over, once)
    say(f"Worked on {count_of(number, 'job')}", err=True)


@click.group(name="jobs", cls=Group)
def jobs_cli() -> None:
    """Show and settle the jobs that are queued."""


@jobs_cli.command(name="list")
@click.option("--failed", is_flag=True, help="Those alone that have failed for good.")
@click.option("--json", "as_json", is_flag=True, help="Show them as JSON, with what they were given.")
def list_jobs(failed: bool, as_json: bool) -> None:
    """List the jobs that are not done: waiting, running or failed.

    Times are UTC.

    \b
      flask jobs list
      flask jobs list --failed
    """
    found = jobs.list_jobs(failed)
    if as_json:
        say_json(found)
        return
    for job in found:
        due = f"{datetime.fromtimestamp(job['due_at'], timezone.utc):%Y-%m-%d %H:%M:%S}"
        error = f"  {job['error'].splitlines()[0]}" if job["error"] else ""
        say(f"{job['id']}  {job['kind']}  {job['state']}  attempts {job['attempts']}  due {due}{error}")


@jobs_cli.command(name="retry")
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1), metavar="[NUMBER]...")
@click.option("--all", "is_all", is_flag=True, help="All that have failed.")
def retry_jobs(numbers: tuple[int, ...], is_all: bool) -> None:
    """Have failed jobs done again.

    \b
      flask jobs retry 17
      flask jobs retry --all
    """
    _require_choice(numbers, is_all)
    number = jobs.retry(None if is_all else numbers)
    db.commit()
    _say_number(number, numbers, "failed", "will be done again")


@jobs_cli.command(name="delete")
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1), metavar="[NUMBER]...")
@click.option("--all-failed", is_flag=True, help="All that have failed.")
def delete_jobs(numbers: tuple[int, ...], all_failed: bool) -> None:
    """Delete jobs, whatever their state: they are not done.

    \b
      flask jobs delete 17
      flask jobs delete --all-failed
    """
    _require_choice(numbers, all_failed)
    number = jobs.remove(None if all_failed else numbers)
    db.commit()
    _say_number(number, numbers, "queued", "deleted")


def _require_choice(numbers: tuple[int, ...], is_all: bool) -> None:
    if bool(numbers) == is_all:
        raise click.UsageError("Name jobs by their numbers, or all of them by the option.")


def _say_number(number: int, numbers: tuple[int, ...], state: str, done: str) -> None:
    """Say how many jobs something was done with.

    :raises Failure: if there are not as many as were named
    """
    if number < len(set(numbers)):
        raise Failure(
            f"Of the jobs that were named, {number} of {len(set(numbers))} were {state}, and {done}"
        )
    say(f"{count_of(number, 'job')} {done}", err=True)
