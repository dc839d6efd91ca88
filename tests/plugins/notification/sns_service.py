"""A service that signs and publishes as SNS does, on this machine, over HTTP or HTTPS."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

TOPIC = "arn:aws:sns:eu-west-1:123456789012:datasets"
AWS = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE = "/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem"

_NAMES = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message",
        "MessageId",
        "SubscribeURL",
        "Timestamp",
        "Token",
        "TopicArn",
        "Type",
    ),
}
_NAMES["UnsubscribeConfirmation"] = _NAMES["SubscriptionConfirmation"]

Answer = tuple[int, dict[str, str], bytes]


class Signer:
    """A key, its certificate, and what it signs."""

    def __init__(self, bits: int = 2048, days: int = 30, issuer: Signer | None = None):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1" if issuer else "ours")])
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer.certificate.subject if issuer else name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        )
        if issuer:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            builder = builder.add_extension(names, critical=False)
        self.certificate = builder.sign(issuer.key if issuer else self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def private_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, envelope: dict[str, Any]) -> dict[str, Any]:
        """Return a message with its signature."""
        text = "".join(f"{name}\n{envelope[name]}\n" for name in _NAMES[envelope["Type"]] if name in envelope)
        algorithm = hashes.SHA1() if envelope["SignatureVersion"] == "1" else hashes.SHA256()
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), algorithm)
        return {**envelope, "Signature": base64.b64encode(signature).decode()}


def notification(message: Any, **changes: Any) -> dict[str, Any]:
    """A message of a topic, not signed yet."""
    return {
        "Type": "Notification",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "TopicArn": TOPIC,
        "Subject": "Amazon S3 Notification",
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2026-11-28T23:12:41.173Z",
        "SignatureVersion": "1",
        "SigningCertURL": AWS + CERTIFICATE,
        "UnsubscribeURL": f"{AWS}/?Action=Unsubscribe",
        **changes,
    }


def subscription(**changes: Any) -> dict[str, Any]:
    """What a topic sends to be told that its messages are wanted, not signed yet."""
    return {
        "Type": "SubscriptionConfirmation",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "Token": "2336412f37f",
        "TopicArn": TOPIC,
        "Message": f"You have chosen to subscribe to the topic {TOPIC}.",
        "SubscribeURL": f"{AWS}/?Action=ConfirmSubscription&TopicArn={quote(TOPIC)}&Token=2336412f37f",
        "Timestamp": "2026-11-28T23:12:41.173Z",
        "SignatureVersion": "2",
        "SigningCertURL": AWS + CERTIFICATE,
        **changes,
    }


class Service:
    """An HTTP server that answers what a test wants, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.answer: Callable[[str], Answer] = lambda _path: (404, {}, b"")
        self.asked: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked.append(self.path)
                status, headers, body = service.answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def encrypt(self, signer: Signer, folder: Path) -> None:
        """Speak TLS from now on."""
        chain = folder / "server.pem"
        chain.write_bytes(signer.private_pem + signer.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.address = self.address.replace("http:", "https:")


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """Have a service answer."""
    thread = threading.Thread(target=service.server.serve_forever, daemon=True)
    thread.start()
    yield service
    service.server.shutdown()
    service.server.server_close()
    thread.join()
