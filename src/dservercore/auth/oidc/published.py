"""What a provider publishes: the document about itself, and the keys of its tokens. Fetched when needed, and kept."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from dservercore.auth.oidc.outgoing import Outgoing, ProviderError
from dservercore.settings.oidc_providers import is_safe_address

#: After so many seconds what is known is fetched anew: a key that was withdrawn is not believed for ever.
LIFETIME_SECONDS = 3600.0
#: Between two attempts to fetch the same: whoever makes up keys has nobody fetch them more often.
PAUSE_SECONDS = 10.0
#: So long somebody waits for what another thread is fetching already.
WAIT_SECONDS = 20.0

_MAX_KEYS = 100
_LEAST_RSA_BITS = 2048
_KINDS: dict[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}

Key = RSAKey | ECKey | OKPKey
Value = TypeVar("Value")

logger = logging.getLogger(__name__)


class Kept(Generic[Value]):
    """Something that is fetched once, and again when it is old; as long as that fails, what is known still holds."""

    def __init__(self, fetch: Callable[[], Value]):
        self._fetch = fetch
        self._value: Value | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = threading.Lock()

    def get(self, *, anew: bool = False) -> Value:
        """Return it.

        :param anew: it lacks something: fetch it again, if that was not tried within the last ``PAUSE_SECONDS``
        :raises ProviderError: if it is not known, and cannot be fetched
        """
        asked_at = time.monotonic()
        if self._value is None or anew:
            if self._lock.acquire(timeout=WAIT_SECONDS):
                self._refresh(asked_at)
        elif asked_at - self._fetched_at > LIFETIME_SECONDS and self._lock.acquire(blocking=False):
            self._refresh(asked_at)
        if self._value is None:
            raise ProviderError("What the provider publishes could not be fetched")
        return self._value

    def _refresh(self, asked_at: float) -> None:
        try:
            if max(self._fetched_at, self._tried_at + PAUSE_SECONDS) > asked_at:
                return
            self._tried_at = time.monotonic()
            self._value = self._fetch()
            self._fetched_at = time.monotonic()
        except ProviderError as error:
            logger.warning("A provider of OpenID Connect: %s", error.message)
        finally:
            self._lock.release()


class Published:
    """What one provider publishes.

    :param issuer: its address, as it names itself
    """

    def __init__(self, issuer: str):
        self.issuer = issuer
        self._document = Kept(self._fetch_document)
        self._keys = Kept(self._fetch_keys)

    def document(self) -> dict[str, Any]:
        """Return the provider's document about itself (OpenID Connect Discovery 1.0, section 3).

        :raises ProviderError: if it is not known, and cannot be fetched, or is that of somebody else
        """
        return self._document.get()

    def address(self, name: str) -> str | None:
        """Return an address that the document may have, such as ``end_session_endpoint``; None: it has none.

        :raises ProviderError: if there is no document
        """
        found = self.document().get(name)
        return found if isinstance(found, str) and is_safe_address(found) else None

    def key(self, header: Mapping[str, Any]) -> Key | None:
        """Return the key that a token names in its header; None if the provider has none of that name.

        Where the provider has one key alone, the token need not name it.

        :raises ProviderError: if no keys are known, and they cannot be fetched
        """
        return _named(header, self._keys.get()) or _named(header, self._keys.get(anew=True))

    def _fetch_document(self) -> dict[str, Any]:
        address = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        with Outgoing() as outgoing:
            document = outgoing.json_of(address, withhold_token=True)
        if document.get("issuer") != self.issuer:
            raise ProviderError(
                f"{address} is the document of another issuer: {str(document.get('issuer'))[:200]!r}"
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not isinstance(document.get(name), str) or not is_safe_address(document[name]):
                raise ProviderError(f"{address} has no {name} that is https://")
        return document

    def _fetch_keys(self) -> list[Key]:
        address = self.document()["jwks_uri"]
        with Outgoing() as outgoing:
            listed = outgoing.json_of(address, withhold_token=True).get("keys")
        keys = [key for entry in _some(listed) if (key := _usable(entry))]
        if not keys:
            raise ProviderError(f"{address} has no key that could sign a token")
        return keys


def _some(listed: Any) -> list[Any]:
    return listed[:_MAX_KEYS] if isinstance(listed, list) else []


def _usable(entry: Any) -> Key | None:
    """Return the public key of an entry; None if it is none that could sign a token, such as a shared secret."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") not in _KINDS:
        return None
    try:
        key: Key = _KINDS[entry["kty"]].import_key(entry)
        if isinstance(key, RSAKey) and key.public_key.key_size < _LEAST_RSA_BITS:
            return None
    except (
        JoseError,
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
    ):  # another kind of curve, or not a key at all
        return None
    return key


def _named(header: Mapping[str, Any], keys: list[Key]) -> Key | None:
    name = header.get("kid")
    if name is None:
        return keys[0] if len(keys) == 1 else None
    return next((key for key in keys if key.get("kid") == name), None)
