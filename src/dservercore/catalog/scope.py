"""Who acts, and on which base URIs: the two arguments that catalog functions take."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from flask import g, has_app_context

from dservercore.dataset import uris
from dservercore.errors import AuthorizationError, UnknownURIError, UnregisteredBaseURIError

Grant = Literal["search", "register"]
GRANTS: tuple[Grant, ...] = ("search", "register")


@dataclass(frozen=True)
class Origin:
    """Where an act comes from, for the record of it.

    :param place: the address of a client, or ``command line``, or ``python`` for code that names no actor
    :param request_id: identifier of the request; None: it was none
    :param operator: name at the operating system of whoever runs the process, where it acts for no user
    """

    place: str
    request_id: str | None = None
    operator: str | None = None


def _of_this_process(place: str) -> Origin:
    try:
        return Origin(place, operator=pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # in a container, a user may be a number alone
        return Origin(place, operator=str(os.getuid()))


@dataclass(frozen=True)
class Credential:
    """What a request is made with, where that allows less than its owner may do: a personal token, for example.

    :param username: its owner
    :param name: what it is called on record, such as ``token 12``
    :param may: words for what it allows: ``search``, ``register``, ``admin``
    :param base_uris: where it allows that; None: wherever its owner may
    """

    username: str
    name: str
    may: frozenset[str]
    base_uris: frozenset[str] | None = None

    def allows(self, grant: Grant, base_uri: str) -> bool:
        """Return whether its owner may search, or register in, a base URI with it, if the owner may at all."""
        return grant in self.may and (self.base_uris is None or base_uri in self.base_uris)


#: What a credential can allow.
MAY = (*GRANTS, "admin")


@dataclass(frozen=True)
class Actor:
    """The user on whose behalf something is done.

    ``username`` is None for the operator at the command line, whom no permission restricts. ``tokens_since`` is in
    seconds since the epoch, UTC: tokens from before are those of a namesake who was deleted, or are revoked; None: no
    token is. ``credential`` is what the request is made with, where that allows less than the user may do.
    """

    username: str | None
    is_admin: bool = False
    id: int | None = None
    display_name: str | None = None
    tokens_since: int | None = None
    origin: Origin = field(default_factory=lambda: _of_this_process("python"))
    credential: Credential | None = None

    @property
    def recorded_name(self) -> str | None:
        """The user name, ``operator:`` and the name at the operating system, or None for a client without a token."""
        return self.username or (self.origin.operator and f"operator:{self.origin.operator}")


OPERATOR = Actor(username=None, is_admin=True, origin=_of_this_process("command line"))


def acting() -> Actor:
    """Return the actor of the request or command at hand; the operator where there is none.

    For code that is given no actor: plugins, and what they do with the tables themselves.
    """
    actor = g.get("actor") if has_app_context() else None
    return actor or Actor(username=None, is_admin=True)


@dataclass(frozen=True)
class Scope:
    """The base URIs in which an actor may search, or register: ``{base URI: primary key}``."""

    grant: Grant
    base_uris: Mapping[str, int] = field(default_factory=dict)

    def __contains__(self, base_uri: object) -> bool:
        return base_uri in self.base_uris

    @property
    def ids(self) -> list[int]:
        """The primary keys."""
        return list(self.base_uris.values())

    def require(self, base_uri: str) -> None:
        """Pass if *base_uri* is in the scope.

        :raises AuthorizationError: if not; also where the base URI is not registered, so that nobody learns which are
        """
        if base_uri not in self.base_uris:
            raise self.refusal()

    def has_dataset(self, uri: str, base_uri_id: int | None) -> bool:
        """Return whether a dataset is in the scope: by its row if it is registered, otherwise by its URI.

        :param base_uri_id: primary key of the base URI that the dataset is registered in, which need not be the parent
            of *uri*; None: it is not registered, and would be in the parent of *uri*
        """
        if base_uri_id is None:
            return uris.parent(uri) in self.base_uris
        return base_uri_id in self.base_uris.values()

    def refusal(self) -> AuthorizationError:
        """Return the error for whatever is not in the scope: always the same, lest it tells what there is."""
        return AuthorizationError(f"No {self.grant} permission on the base URI of this request")

    def narrowed_to(self, base_uris: Iterable[str]) -> Scope:
        """Return the scope that leaves out everything not in *base_uris*."""
        wanted = set(base_uris)
        return Scope(self.grant, {uri: key for uri, key in self.base_uris.items() if uri in wanted})


class OperatorScope(Scope):
    """The scope of the operator, and of code that decides itself who may do what: every registered base URI."""

    def require(self, base_uri: str) -> None:
        """Pass if *base_uri* is registered.

        :raises UnregisteredBaseURIError: if not
        """
        if base_uri not in self.base_uris:
            raise UnregisteredBaseURIError(f"Base URI {base_uri!r} is not registered")


def require_dataset(scopes: Sequence[Scope], uri: str, base_uri_id: int | None) -> None:
    """Pass if a dataset is registered in every scope: the one answer to whether an actor may read or change it.

    A dataset that is in none of them is answered as if it were not registered, or the answer would tell that it is.

    :param base_uri_id: primary key of the base URI that the dataset is registered in; None: it is not registered
    :raises AuthorizationError: if the dataset is in some of the scopes only; where it is in none, or not registered, if
        the base URI that it would be in is missing from one
    :raises UnknownURIError: if that base URI is in all of them
    """
    if base_uri_id is not None:
        outside = [scope for scope in scopes if not scope.has_dataset(uri, base_uri_id)]
        if not outside:
            return
        if len(outside) < len(scopes):
            raise outside[0].refusal()
    for scope in scopes:
        scope.require(uris.parent(uri))
    raise UnknownURIError(f"No dataset is registered as {uri}")
