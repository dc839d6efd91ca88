"""Messages of the Simple Notification Service (SNS) of AWS: whether they are signed by it, for a topic of ours.

SNS signs what it sends with a key whose certificate it publishes
(https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html). A message names the address of the
certificate, which anybody can write into one: it is fetched from the service of the topic's region, and nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from flask import current_app

from dservercore.dataset.times import utcnow
from dservercore.errors import AuthorizationError, UnavailableError, ValidationError
from dservercore.plugins.notification.settings import ENDPOINT, TOPICS

NOTIFICATION, SUBSCRIPTION, UNSUBSCRIPTION = (
    "Notification",
    "SubscriptionConfirmation",
    "UnsubscribeConfirmation",
)

#: Seconds that an answer of the service may take, and its bytes.
SECONDS, MAX_BYTES = 10.0, 2**16
#: Certificates that are kept; the service has one for each region, and a new one every year.
MAX_CERTIFICATES = 16
#: Certificates that are fetched within so many seconds at most: a name of one is easily made up.
MAX_FETCHES, FETCHES_SECONDS = 60, 60.0
#: So long a request waits for what another one is fetching.
WAIT_SECONDS = 5.0

_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SUBSCRIPTION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    UNSUBSCRIPTION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {"1": hashes.SHA1, "2": hashes.SHA256}
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem", re.ASCII)
_PATH = re.compile(r"/[!-~]{0,2000}", re.ASCII)
_LEAST_BITS = 2048


class UntrustedError(AuthorizationError):
    """A message is not signed by the service, or not for a topic that this server is configured with."""


def is_envelope(message: Any) -> bool:
    """Return whether a message looks like one of SNS."""
    return isinstance(message, dict) and message.get("Type") in _SIGNED and "TopicArn" in message


def require_signed(envelope: Mapping[str, Any]) -> None:
    """Pass if SNS has signed a message for one of the topics of the configuration.

    :raises ValidationError: if it is not as SNS writes it
    :raises UntrustedError: if it has not
    :raises UnavailableError: if the certificate cannot be fetched now
    """
    topic = _text(envelope, "TopicArn")
    if topic not in current_app.config[TOPICS]:
        raise UntrustedError(f"TopicArn: not one of the topics of this server ({TOPICS})")
    path = _path_at_service(_text(envelope, "SigningCertURL"), topic, "SigningCertURL")
    if not _CERTIFICATE.fullmatch(path):
        raise UntrustedError("SigningCertURL: not the address of a certificate of SNS")
    algorithm = _HASHES.get(str(envelope.get("SignatureVersion")))
    if algorithm is None:
        raise ValidationError("SignatureVersion: expected 1 or 2", {"SignatureVersion": ["Must be 1 or 2."]})
    encoded = _text(envelope, "Signature")
    try:
        signature = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise UntrustedError("Signature: not in base 64") from None
    signed = _signed_text(envelope)
    key = _certificates().key(_service_of(topic) + path)
    try:
        key.verify(signature, signed, padding.PKCS1v15(), algorithm())
    except InvalidSignature:
        raise UntrustedError("Signature: not that of SNS for this message") from None


def confirmation_path(envelope: Mapping[str, Any]) -> str:
    """Return path and query of the address that confirms a subscription, at the service of its topic.

    :param envelope: of a signed message
    :raises UntrustedError: if it is the address of anything else
    """
    topic = _text(envelope, "TopicArn")
    path = _path_at_service(_text(envelope, "SubscribeURL"), topic, "SubscribeURL")
    asked = parse_qs(urlsplit(path).query)
    if asked.get("Action") != ["ConfirmSubscription"] or asked.get("TopicArn") != [topic]:
        raise UntrustedError("SubscribeURL: does not confirm a subscription of this topic")
    return path


def confirm(topic: str, path: str) -> None:
    """Confirm a subscription of a topic, if it still is one of the configuration.

    :raises UnavailableError: if the service does not answer, or refuses
    """
    if topic in current_app.config[TOPICS]:
        _fetch(_service_of(topic) + path)


def _signed_text(envelope: Mapping[str, Any]) -> bytes:
    names = _SIGNED[envelope["Type"]]
    # A message without a subject has no such line.
    lines = [
        f"{name}\n{_text(envelope, name)}\n" for name in names if name != "Subject" or envelope.get(name)
    ]
    return "".join(lines).encode()


def _text(envelope: Mapping[str, Any], name: str) -> str:
    value = envelope.get(name)
    if not isinstance(value, str) or not value:
        raise ValidationError(f"{name}: must be a text", {name: ["Must be a text."]})
    return value


def _service_of(topic: str) -> str:
    return current_app.config[ENDPOINT] or _aws_of(topic)


def _aws_of(topic: str) -> str:
    """Return the address of SNS in the region of a topic."""
    _, partition, _, region, *_ = topic.split(":")
    return f"https://sns.{region}.amazonaws.com{'.cn' if partition == 'aws-cn' else ''}"


def _path_at_service(address: str, topic: str, field: str) -> str:
    """Return path and query of an address at the service of a topic.

    :raises UntrustedError: if it is one anywhere else
    """
    for service in {_aws_of(topic), _service_of(topic)}:
        path = address.removeprefix(service)
        if path != address and _PATH.fullmatch(path):
            return path
    raise UntrustedError(f"{field}: not an address of SNS in the region of the topic")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nobody to anywhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _fetch(address: str) -> bytes:
    """Return what is at an address, which is http:// or https://.

    :raises UnavailableError: if there is nothing, or too much, or it does not come in time
    """
    try:
        # Certificates of servers are verified by default, and proxies that the environment names are used.
        with urllib.request.build_opener(_NoRedirects).open(address, timeout=SECONDS / 2) as answer:
            return _read(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise UnavailableError(f"{urlsplit(address).hostname} answers with status {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise UnavailableError(
            f"{urlsplit(address).hostname} does not answer: {type(error).__name__}"
        ) from error


def _read(answer: IO[bytes]) -> bytes:
    deadline, content = time.monotonic() + SECONDS, bytearray()
    # What has arrived by now, and not so much of it as would be convenient: a drop every second would go on for ever.
    while chunk := answer.read1(MAX_BYTES):  # type: ignore[attr-defined]
        content += chunk
        if len(content) > MAX_BYTES:
            raise ValueError("too much")
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(content)


class _Certificates:
    """The keys of certificates that have been fetched, by the address of each."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[rsa.RSAPublicKey, Any]] = OrderedDict()
        self._fetched_at: deque[float] = deque(maxlen=MAX_FETCHES)
        self._lock = threading.Lock()

    def key(self, address: str) -> rsa.RSAPublicKey:
        """Return the key of the certificate at an address.

        :raises UntrustedError: if it is no certificate, or not valid any more
        :raises UnavailableError: if it cannot be fetched now
        """
        now = utcnow()
        key, until = self._known.get(address, (None, now))
        if key and until > now:
            return key
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise UnavailableError("Other certificates of SNS are being fetched; try again")
        try:
            key, until = self._known.get(address, (None, now))
            if not key or until <= now:
                key, until = self._fetch(address)
                self._known[address] = key, until
                while len(self._known) > MAX_CERTIFICATES:
                    self._known.popitem(last=False)
        finally:
            self._lock.release()
        return key

    def _fetch(self, address: str) -> tuple[rsa.RSAPublicKey, Any]:
        moment, full = time.monotonic(), len(self._fetched_at) == MAX_FETCHES
        if full and self._fetched_at[0] > moment - FETCHES_SECONDS:
            raise UnavailableError("Too many certificates of SNS were asked for; try again in a minute")
        self._fetched_at.append(moment)
        try:
            certificate = x509.load_pem_x509_certificate(_fetch(address))
            key = certificate.public_key()
        except ValueError:
            raise UntrustedError("SigningCertURL: there is no certificate") from None
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _LEAST_BITS:
            raise UntrustedError("SigningCertURL: the certificate is for no key that SNS has")
        until = certificate.not_valid_after_utc.replace(tzinfo=None)
        if not certificate.not_valid_before_utc.replace(tzinfo=None) <= utcnow() < until:
            raise UntrustedError("SigningCertURL: the certificate is not valid now")
        return key, until


#: Where an application keeps the certificates that it has fetched.
CERTIFICATES = "dservercore-notification-certificates"


def _certificates() -> _Certificates:
    found: _Certificates = current_app.extensions.setdefault(CERTIFICATES, _Certificates())
    return found
