"""The certificate of a server that speaks TLS itself."""

from __future__ import annotations

import ssl
from pathlib import Path


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS context of a server with the certificate in one file and the key in the other.

    :raises OSError: if the files cannot be read, or are no certificate and its key
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context


def check_certificate(certificate: Path, key: Path) -> None:
    """Pass if the server can speak TLS with the certificate in one file and the key in the other.

    :raises ValueError: if it cannot, with what is wrong
    """
    encrypted: list[bool] = []

    def ask() -> str:
        encrypted.append(True)
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, ask)
    except OSError as error:  # the errors of TLS are some of these
        if encrypted:
            raise ValueError(f"the key {key} has a password, which the server cannot be told") from None
        if isinstance(error, PermissionError):
            raise ValueError(f"{certificate} or {key} may not be read") from None
        raise ValueError(f"{certificate} is no certificate in PEM, or {key} is not its key") from None
