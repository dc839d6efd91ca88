"""How often somebody has tried to guess a secret: counted in the database, for all processes together.

An attempt is written down before the secret is looked at, and counts as one that failed until it is known to have
succeeded. So no number of requests at the same moment is more than one request after another would be allowed. An
attempt that is refused is forgotten: whoever goes on trying does not have to wait for longer.

Three things are limited: attempts at a name from an address, attempts from an address, and attempts at a name from
wherever. The latter would let strangers keep somebody out; so it and the second do not count for an address from which
that name has signed in lately.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from dservercore.db import sql_db
from dservercore.db.usernames import canonical, key_of
from dservercore.errors import TooManyAttemptsError
from dservercore.models import ADDRESS_LENGTH, SignInAttempt

_attempt = SignInAttempt.__table__


@dataclass(frozen=True)
class Limit:
    """How many attempts may fail within a number of seconds."""

    number: int
    seconds: int


OF_NAME_AND_ADDRESS = Limit(10, 15 * 60)
OF_ADDRESS = Limit(100, 15 * 60)
OF_NAME = Limit(30, 60 * 60)
#: Seconds for which it is remembered that a name has signed in from an address.
KNOWN_SECONDS = 30 * 86400

_LONGEST = max(limit.seconds for limit in (OF_NAME_AND_ADDRESS, OF_ADDRESS, OF_NAME))
_PRUNE_SECONDS = 600
_pruned_at = 0.0  # when this process has last forgotten what is old


def begin(username: str, address: str) -> int:
    """Write down that a secret of somebody is about to be tried, durably. Return the number of the attempt.

    In a transaction of its own.

    :param username: as somebody has typed it: it may be no user's
    :param address: of the client
    :raises TooManyAttemptsError: if there were too many; the same for names that nobody has
    """
    _prune_now_and_then()
    name_key, network = _name_key(username), network_of(address)
    row = {"name_key": name_key, "address": network, "at": int(time.time()), "has_succeeded": False}
    with sql_db.engine.begin() as connection:
        attempt_id = int(connection.execute(insert(_attempt), row).inserted_primary_key[0])  # type: ignore[index]
    with sql_db.engine.begin() as connection:
        wait = _seconds_to_wait(connection, attempt_id, name_key, network)
        if wait:
            connection.execute(delete(_attempt).where(_attempt.c.id == attempt_id))
    if wait:
        raise TooManyAttemptsError(f"Too many attempts to sign in: try again in {wait} seconds", wait)
    return attempt_id


def _seconds_to_wait(connection: Connection, attempt_id: int, name_key: str, network: str) -> int:
    of_name, of_address = _attempt.c.name_key == name_key, _attempt.c.address == network
    known_since = int(time.time()) - KNOWN_SECONDS
    has_signed_in = select(_attempt.c.id).where(
        of_name, of_address, _attempt.c.at > known_since, _attempt.c.has_succeeded
    )
    limited: list[tuple[Limit, Any]] = [(OF_NAME_AND_ADDRESS, and_(of_name, of_address))]
    if connection.execute(has_signed_in.limit(1)).first() is None:
        limited += [(OF_ADDRESS, of_address), (OF_NAME, of_name)]
    return max(_wait_for(connection, limit, which, attempt_id) for limit, which in limited)


def _wait_for(connection: Connection, limit: Limit, which: Any, attempt_id: int) -> int:
    """Return after how many seconds one more attempt is allowed; 0: it is now."""
    now = int(time.time())
    others = select(_attempt.c.at).where(
        which, ~_attempt.c.has_succeeded, _attempt.c.at > now - limit.seconds, _attempt.c.id != attempt_id
    )
    # Once the last that fills the limit has aged, there is room for another.
    last = connection.execute(
        others.order_by(_attempt.c.at.desc()).offset(limit.number - 1).limit(1)
    ).scalar()
    return 0 if last is None else max(1, min(limit.seconds, int(last) + limit.seconds - now))


def succeed(attempt_id: int) -> None:
    """Write down, in the transaction of the sign-in, that an attempt has succeeded."""
    sql_db.session.execute(update(_attempt).where(_attempt.c.id == attempt_id).values(has_succeeded=True))


def note_success(username: str, address: str) -> None:
    """Write down, in the transaction of a sign-in without a password, from where somebody has signed in."""
    row = {
        "name_key": _name_key(username),
        "address": network_of(address),
        "at": int(time.time()),
        "has_succeeded": True,
    }
    sql_db.session.execute(insert(_attempt), row)


def forget(attempt_id: int) -> None:
    """Have an attempt not count: whether the secret is right could not be found out. In a transaction of its own."""
    with sql_db.engine.begin() as connection:
        connection.execute(delete(_attempt).where(_attempt.c.id == attempt_id))


def network_of(address: str) -> str:
    """Return what a client has to itself: its IPv4 address, or the first 64 bits of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a client at a Unix socket has none
        return address[:ADDRESS_LENGTH]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False).network_address)


def _name_key(username: str) -> str:
    return hashlib.sha256(key_of(canonical(username)).encode(errors="surrogatepass")).hexdigest()


def _prune_now_and_then() -> None:
    global _pruned_at
    now = time.time()
    if now - _pruned_at < _PRUNE_SECONDS:
        return
    _pruned_at = now
    is_old = or_(
        _attempt.c.at <= int(now) - KNOWN_SECONDS,
        and_(_attempt.c.at <= int(now) - _LONGEST, ~_attempt.c.has_succeeded),
    )
    try:
        with sql_db.engine.begin() as connection:
            connection.execute(delete(_attempt).where(is_old))
    except SQLAlchemyError as error:
        logging.getLogger(__name__).warning("Old attempts to sign in could not be forgotten: %s", error)
