"""Who may notify the server: an object store in a network that has the secret, or a topic of SNS that signs."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator

from flask import current_app, request

from dservercore.auth.scrapers import comes_from
from dservercore.errors import AuthorizationError
from dservercore.plugins.notification.settings import NETWORKS, SECRET, TOPICS
from dservercore.settings.secrecy import HIDDEN


def hide_secret() -> None:
    """Take the secret out of the path of the request, which goes into logs. To be called before anybody looks at it."""
    secret = current_app.config[SECRET]
    if secret:
        request.environ["PATH_INFO"] = request.environ["PATH_INFO"].replace(secret, HIDDEN)


def is_admitted(path: str) -> bool:
    """Return whether the request comes from where it may, with the secret where there is one.

    :param path: what stands behind ``/webhook/notify/``
    """
    return comes_from(current_app.config[NETWORKS]) and _has_secret(current_app.config[SECRET], path)


def require_a_chance(path: str) -> bool:
    """Return whether the request is admitted as it is; False: only if its body is signed.

    Called before the body is read.

    :raises AuthorizationError: if it is not admitted, whatever its body is
    """
    if is_admitted(path):
        return True
    if current_app.config[TOPICS]:
        return False
    raise refusal()


def refusal() -> AuthorizationError:
    """Return the error for whoever may not notify: always the same, whatever is wrong."""
    return AuthorizationError(
        "Notifications are for the object stores that this server is configured with"
        f" ({NETWORKS}, {SECRET}, {TOPICS})"
    )


def _has_secret(secret: str, path: str) -> bool:
    """Return whether the request carries the secret, if there is one, in a time that does not tell what is right."""
    if not secret:
        return True
    wanted = secret.encode()
    # All of them are compared, whichever is right.
    return sum(hmac.compare_digest(given, wanted) for given in _given(path)) > 0


def _given(path: str) -> Iterator[bytes]:
    yield path.rpartition("/")[2].encode("utf-8", "replace")
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield credentials.strip().encode("utf-8", "replace")
    elif scheme.lower() == "basic":
        try:
            yield base64.b64decode(credentials, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return
