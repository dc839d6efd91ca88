"""``flask base_uri``: base URIs, and the datasets in them."""

from __future__ import annotations

import sys
from contextlib import closing

import click

from dservercore import db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, summary
from dservercore.catalog.scope import OPERATOR
from dservercore.catalog.storage import access, indexing
from dservercore.catalog.storage.pruning import TooManyGoneError
from dservercore.cli.arguments import LOCATION
from dservercore.cli.console import Failure, Group, Interruption, count_of, say, say_json
from dservercore.cli.index_report import Report, may_prune
from dservercore.errors import ConflictError, DserverError, UnknownBaseURIError

base_uri_cli = Group("base_uri", help="Manage base URIs, and register the datasets in them.")


@base_uri_cli.command(name="add")
@click.argument("base_uri", type=LOCATION)
@click.option("--public", is_flag=True, help="Let everybody find and read what is in it, without a token.")
def add_base_uri(base_uri: str, public: bool) -> None:
    """Add BASE_URI, a place that holds datasets.

    Such a place is a bucket, a share or a directory. The path of a directory on this machine becomes a file:// URI.
    One that cannot be indexed from here is added, too, and a line on stderr says why: its datasets can be registered
    over HTTP. Next, register the datasets that are there, and let users find them:

    \b
      flask base_uri add s3://my-bucket
      flask base_uri index s3://my-bucket
      flask user search_permission alice s3://my-bucket
    """
    try:
        base_uris.add_base_uri(base_uri, actor=OPERATOR)
    except ConflictError:
        raise Failure(f"Base URI '{base_uri}' already registered") from None
    if public:
        base_uris.set_public(base_uri, True, actor=OPERATOR)
    db.commit()
    reason = access.why_not_indexable(base_uri)
    if reason:
        say(
            f"Added, but '{base_uri}' cannot be indexed from here: {reason}. "
            "Its datasets can still be registered over HTTP",
            err=True,
        )


@base_uri_cli.command(name="update")
@click.argument("base_uri", type=LOCATION)
@click.option(
    "--public/--no-public",
    default=None,
    help="Let everybody find and read what is in it, without a token, or no longer.",
)
@click.option(
    "--price-per-tb", metavar="PRICE", help="What a TB (10^12 bytes) costs a year, such as 45 or 45.50."
)
@click.option("--currency", metavar="CODE", help="Of the price, as ISO 4217 calls it, such as EUR.")
@click.option("--no-price", is_flag=True, help="Forget what it costs.")
def update_base_uri(
    base_uri: str, public: bool | None, price_per_tb: str | None, currency: str | None, no_price: bool
) -> None:
    """Open BASE_URI to everybody, or close it; set what storage costs.

    What is in a public base URI can be found and read by whoever can reach the server, without a token: names, READMEs,
    annotations, tags and lists of files. Nobody can change it for that. It counts at once, also when it is taken back.
    A line on stderr says how many datasets it is about.

    \b
      flask base_uri update s3://open-data --public
      flask base_uri update s3://open-data --no-public
      flask base_uri update s3://open-data --price-per-tb 45 --currency EUR
    """
    price: dict[str, str | None] = {"price_per_tb": price_per_tb, "currency": currency}
    price = {key: value for key, value in price.items() if value is not None}
    if no_price and price:
        raise click.UsageError("Give either --no-price, or a price.")
    if no_price:
        price = {"price_per_tb": None}
    if public is None and not price:
        raise click.UsageError("Give --public, --no-public, --no-price, or --price-per-tb and --currency.")
    is_changed = is_other_price = False
    try:
        if public is not None:
            is_changed = base_uris.set_public(base_uri, public, actor=OPERATOR)
        if price:
            is_other_price = base_uris.set_price(base_uri, price, actor=OPERATOR)
    except UnknownBaseURIError:
        raise Failure(
            f"Base URI '{base_uri}' not registered: add it first, with flask base_uri add"
        ) from None
    db.commit()
    if public is not None:
        _say_public(base_uri, public, is_changed)
    if price:
        _say_price(base_uri, is_other_price)


def _say_price(base_uri: str, is_changed: bool) -> None:
    shown = base_uris.get_base_uri(base_uri)
    as_before = "" if is_changed else ", as before"
    if "price_per_tb" in shown:
        say(
            f"Storage in '{base_uri}' costs {shown['price_per_tb']} {shown['currency']} per TB and year{as_before}",
            err=True,
        )
    else:
        say(f"What storage in '{base_uri}' costs is not known{as_before}", err=True)


def _say_public(base_uri: str, public: bool, is_changed: bool) -> None:
    held = count_of(_datasets_in(base_uri), "dataset")
    as_before = "" if is_changed else ", as before"
    if public:
        say(
            f"Whoever can reach the server may find and read the {held} in '{base_uri}', without a token{as_before}",
            err=True,
        )
    else:
        say(f"Only users with search permission may find the {held} in '{base_uri}'{as_before}", err=True)


@base_uri_cli.command(name="list")
def list_base_uris() -> None:
    """List the base URIs, their users and their last indexing, as JSON.

    "public": true is there where everybody may find and read what is in it; price_per_tb and currency where a price is
    set; last_indexed where `flask base_uri index` has run. Times are seconds since 1970-01-01 UTC.
    """
    say_json(base_uris.list_base_uris()[0])


@base_uri_cli.command(name="delete")
@click.argument("base_uri", type=LOCATION)
@click.option("--with-datasets", is_flag=True, help="Delete the registrations of its datasets too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete_base_uri(base_uri: str, with_datasets: bool, yes: bool) -> None:
    """Delete BASE_URI and the permissions on it.

    The datasets themselves stay where they are stored. It is no error if BASE_URI is not registered; a
    line on stderr says so.
    """
    held = _datasets_in(base_uri)
    if held and not with_datasets:
        raise Failure(
            f"Base URI '{base_uri}' still holds {count_of(held, 'dataset')}: "
            "--with-datasets deletes their registrations too"
        )
    if held and not yes and sys.stdin.isatty():
        click.confirm(f"Delete the registrations of {count_of(held, 'dataset')}?", abort=True, err=True)
    is_deleted = base_uris.delete_base_uri(base_uri, with_datasets, actor=OPERATOR)
    db.commit()
    if not is_deleted:
        say(f"Base URI '{base_uri}' was not registered: nothing deleted", err=True)


def _datasets_in(base_uri: str) -> int:
    return sum(summary.datasets_per_base_uri(operator_scope("register").narrowed_to([base_uri])).values())


@base_uri_cli.command(name="index")
@click.argument("base_uri", type=LOCATION)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    metavar="N",
    help="Read N datasets from storage at the same time.",
)
@click.option("--full", is_flag=True, help="Read what has not changed since it was registered again.")
@click.option(
    "--prune",
    is_flag=True,
    help="Remove registrations whose dataset is gone from storage, if they are not too many.",
)
@click.option("--prune-all", is_flag=True, help="Remove them however many they are.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, an object a line.")
def index_base_uri(base_uri: str, jobs: int, full: bool, prune: bool, prune_all: bool, as_json: bool) -> None:
    """Register the datasets that are stored in BASE_URI.

    Datasets that are registered as they are stored are left alone, and not even read where the storage tells that they
    have not changed (directories and S3 do). One that cannot be registered is reported on stderr, and the others go
    on. Datasets that are not frozen yet are left out, and so are files among tags and annotations that dtool has not
    written.

    --prune removes at most half of the registrations of BASE_URI (DSERVER_PRUNE_LIMIT): a share that is not mounted
    looks like an empty one. Of more than that, it asks on a terminal, and elsewhere removes none; --prune-all removes
    all.

    It can be interrupted: what was reported is registered. The exit code is 1 if any dataset failed, or too many are
    gone.

    \b
      flask base_uri index s3://my-bucket --jobs 16
    """
    report = Report(as_json)
    done = indexing.index_base_uri(
        operator_scope("register"),
        base_uri,
        jobs=jobs,
        full=full,
        prune=prune or prune_all,
        may_prune=may_prune(prune_all),
        started=report.start,
    )
    with report, closing(done):
        try:
            for indexed in done:
                report.add(indexed)
        except UnknownBaseURIError:
            raise Failure(f"Base URI '{base_uri}' not registered") from None
        except TooManyGoneError as error:
            report.end(base_uri, error.message)
            raise Failure(str(report), error.message) from None
        except KeyboardInterrupt:
            report.end(base_uri, "interrupted")
            raise Interruption(f"Interrupted: {report}; run it again for the rest") from None
        except DserverError as error:
            report.end(base_uri, error.message)
            raise
    report.end(base_uri)
    say(str(report), err=True)
    if report.outcomes["failed"]:
        sys.exit(1)
