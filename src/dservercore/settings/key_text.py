"""The text of a key as it comes out of environment variables and files, made what a parser of keys expects."""

from __future__ import annotations

import base64
import binascii
import re
import textwrap

_PEM = re.compile(r"-----\s*BEGIN ([A-Z0-9 ]+?)\s*-----(.*?)-----\s*END \1\s*-----", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")
_LEAST_BYTES = 64  # of a key
_LINE_LENGTH = 64  # of PEM (RFC 7468)


def normalised(text: str) -> str:
    """Return the text of a key with its lines restored.

    Files of variables and programs that read them leave quotes around a key, ``\\n`` instead of the ends of its lines,
    or spaces. Some hand out the base64 of the whole text, or what is between the first line and the last alone. What
    looks like none of these is returned as it is, without the spaces around it.
    """
    text = _unquoted(text.strip().lstrip("\ufeff"))
    text = re.sub(r"\\+r\\+n|\\+n|\\+r|\r\n?", "\n", text)
    text = re.sub(r"\\+$", "", text, flags=re.MULTILINE).strip()
    if "-----" not in text and not text.startswith("ssh-"):
        text = _decoded(text)
    if found := _PEM.search(text):
        return _pem(*found.groups())
    return text


def _unquoted(text: str) -> str:
    while len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


def _pem(kind: str, body: str) -> str:
    if ":" in body:  # what is before the key, such as how it is encrypted, has lines of its own
        return f"-----BEGIN {kind}-----\n{body.strip()}\n-----END {kind}-----\n"
    lines = textwrap.wrap("".join(body.split()), _LINE_LENGTH)
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])


def _decoded(text: str) -> str:
    """Return the PEM text that *text* is the base64 of, or of which it is the inside."""
    if not _BASE64.fullmatch(text):
        return text
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return text
    if content.lstrip().startswith((b"-----BEGIN", b"ssh-")):
        return content.decode(errors="replace").strip()
    # As Keycloak shows the public key of a realm: a sequence of ASN.1, as every key is.
    if len(content) >= _LEAST_BYTES and content[0] == 0x30:
        return _pem("PUBLIC KEY", text)
    return text
