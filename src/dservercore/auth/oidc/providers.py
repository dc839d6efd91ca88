"""The providers that an application is configured with, and whom their tokens speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask

from dservercore.auth.oidc.published import Published
from dservercore.catalog.external_users import External, Policy
from dservercore.dataset.document import check_text
from dservercore.errors import AuthenticationError, ValidationError
from dservercore.models import SOURCE_KEY_LENGTH
from dservercore.settings.oidc_providers import OF_EACH_PROVIDER, variable
from dservercore.settings.table import OIDC_PROVIDERS

_MAX_NAME = 255
_MAX_GROUPS = 10_000


@dataclass(frozen=True)
class Provider:
    """One provider. What the parts are is said where its settings are (``settings/oidc_providers``)."""

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    label: str
    scopes: str
    username_claim: str
    display_name_claim: str
    groups_claim: str
    audience: str
    policy: Policy
    published: Published = field(repr=False, compare=False)

    @property
    def source(self) -> str:
        """What the provider is called as the source of users."""
        return f"oidc:{self.name}"

    def external(self, claims: Mapping[str, Any]) -> External:
        """Return the one of whom claims speak that the provider has vouched for.

        A claim with groups that is missing says that there are none: some providers leave out an empty one.

        :raises AuthenticationError: if the claims lack the subject or the name, or these are none
        """
        display_name = value_at(claims, self.display_name_claim) if self.display_name_claim else None
        groups = _names(value_at(claims, self.groups_claim)) if self.groups_claim else None
        return External(
            source=self.source,
            key=subject_of(claims),
            username=_username(value_at(claims, self.username_claim)),
            display_name=display_name if isinstance(display_name, str) and display_name else None,
            groups=groups,
        )

    def lacks(self, claims: Mapping[str, Any]) -> bool:
        """Return whether some of the claims are missing that the provider may have at another place."""
        wanted = filter(None, (self.username_claim, self.display_name_claim, self.groups_claim))
        return any(value_at(claims, name) is None for name in wanted)


def subject_of(claims: Mapping[str, Any]) -> str:
    """Return what the provider calls somebody for ever.

    :raises AuthenticationError: if that is missing, or none
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SOURCE_KEY_LENGTH or not subject.isprintable():
        raise AuthenticationError("The provider does not say who you are")
    return subject


def value_at(claims: Mapping[str, Any], path: str) -> Any:
    """Return the claim of a name, which may have dots, or where a path with dots leads; None: there is none."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _username(value: Any) -> str:
    if not _is_name(value):
        raise AuthenticationError("The provider does not say what you are called")
    return str(value)


def _names(value: Any) -> frozenset[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or len(values) > _MAX_GROUPS:
        return frozenset()
    return frozenset(filter(_is_name, values))


def _is_name(value: Any) -> bool:
    """Return whether a value is a text that can be the name of something, for which a database can be asked."""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME:
        return False
    try:
        check_text(value, "name")
    except ValidationError:
        return False
    return True


def providers_of(app: Flask) -> dict[str, Provider]:
    """Return the providers of an application, by name."""
    found: dict[str, Provider] | None = app.extensions.get("dservercore-oidc")
    return app.extensions.setdefault("dservercore-oidc", _read(app.config)) if found is None else found


def _read(config: Mapping[str, Any]) -> dict[str, Provider]:
    return {name: _provider(name, config) for name in config[OIDC_PROVIDERS]}


def _provider(name: str, config: Mapping[str, Any]) -> Provider:
    given = {setting.name: config[variable(name, setting.name)] for setting in OF_EACH_PROVIDER}
    policy = Policy(
        admits=given["ADMITS"],
        admitted=frozenset(given["ADMITTED_GROUPS"]),
        admin_groups=frozenset(given["ADMIN_GROUPS"]),
    )
    return Provider(
        name=name,
        issuer=given["ISSUER"],
        client_id=given["CLIENT_ID"],
        client_secret=given["CLIENT_SECRET"],
        label=given["LABEL"],
        scopes=given["SCOPES"],
        username_claim=given["USERNAME_CLAIM"],
        display_name_claim=given["DISPLAY_NAME_CLAIM"],
        groups_claim=given["GROUPS_CLAIM"],
        audience=given["AUDIENCE"],
        policy=policy,
        published=Published(given["ISSUER"]),
    )
