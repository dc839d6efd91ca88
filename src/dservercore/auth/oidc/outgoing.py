"""Requests to a provider: bounded in time and in bytes, over TLS, and to the very address that they are meant for."""

from __future__ import annotations

import json
import time
from typing import Any

import requests
from authlib.integrations.requests_client import OAuth2Session
from requests.auth import AuthBase

from dservercore.errors import UnavailableError
from dservercore.settings.oidc_providers import is_safe_address

CONNECT_SECONDS, READ_SECONDS, WHOLE_SECONDS = 5.0, 5.0, 10.0
MAX_BYTES = 2**20
_CHUNK = 2**16


class ProviderError(UnavailableError):
    """A provider is away, or answers what no provider should. The message is for the log, not for clients."""


class Outgoing(OAuth2Session):
    """A client of a provider, whose requests end within ``WHOLE_SECONDS`` of an answer's beginning.

    No redirect is followed: whoever is sent a secret or believed a key is the one whom the provider's own document
    names. Every way in which a request can fail is a :class:`ProviderError`, but for an answer that says so itself
    (``authlib.integrations.base_client.OAuthError``).
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        # The client's own credentials, and none that the machine keeps for the host (~/.netrc).
        self.auth = _Nobody()
        self.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request, and return the answer with its whole body.

        :raises ProviderError: if the address is not safe, the provider does not answer in time, or too much
        """
        if not is_safe_address(str(request.url)):
            raise ProviderError(f"{request.url} is not https://, nor on this machine")
        options |= {
            "timeout": (CONNECT_SECONDS, READ_SECONDS),
            "allow_redirects": False,
            "stream": True,  # the body is read below
        }
        try:
            with super().send(request, **options) as response:
                response._content = _body_of(response)  # where the library keeps what it has read itself
        except (requests.RequestException, OSError, ValueError) as error:
            raise ProviderError(f"{request.url} does not answer: {type(error).__name__}: {error}") from error
        return response

    def get_redirect_target(self, _response: requests.Response) -> None:
        """Return that there is no redirect to follow."""

    def json_of(self, url: str, **options: Any) -> dict[str, Any]:
        """Return the JSON object at an address.

        :raises ProviderError: if there is none
        """
        response = self.get(url, **options)
        if response.status_code != requests.codes.ok:
            raise ProviderError(f"{url} answers with status {response.status_code}")
        return as_object(response.content, url)


class _Nobody(AuthBase):
    """Sends no credentials."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def as_object(body: bytes | str, where: str) -> dict[str, Any]:
    """Return a JSON object.

    :raises ProviderError: if that is no JSON, nor an object
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProviderError(f"{where} answers no JSON object")
    return found


def _body_of(response: requests.Response) -> bytes:
    deadline = time.monotonic() + WHOLE_SECONDS
    if response.headers.get("Content-Encoding", "identity") not in ("", "identity"):
        raise ValueError("the answer is compressed, which nobody asked for")
    body = bytearray()
    # What has arrived by now, not so much of it as would be convenient: a drop every second would go on for ever.
    while chunk := response.raw.read1(_CHUNK):
        body += chunk
        if len(body) > MAX_BYTES:
            raise ValueError(f"the answer has more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise ValueError(f"the answer takes longer than {WHOLE_SECONDS:g} seconds")
    return bytes(body)
