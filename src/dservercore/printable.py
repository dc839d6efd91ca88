"""Text as it may appear in a terminal or in a log: whatever would act there, or hide something, is escaped.

Names and messages come from datasets, tokens, file systems and other people's programs. Letters of every language stay
as they are.
"""

from __future__ import annotations

import json
import re

# Control characters, line and paragraph separators; what turns the direction of text or is not seen at all, but for the
# two joiners (U+200C, U+200D) that some languages and emoji are written with; halves of surrogate pairs.
_ACTS = (
    "\\x00-\\x1f\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb"
    "\\U0001d173-\\U0001d17a\\U000e0000-\\U000e007f\\ud800-\\udfff"
)
_IN_LINE = re.compile(f"[{_ACTS}]")
_IN_LINES = re.compile(f"(?!\\n)[{_ACTS}]")


def printable(text: str, encoding: str = "utf-8") -> str:
    """Return *text* as one line, with escapes such as ``\\x1b`` and ``\\u202e`` for what is not to be printed.

    :param encoding: of where it is printed; what that does not have is escaped, too
    """
    return _encodable(_IN_LINE.sub(_escape, text), encoding)


def printable_lines(text: str, encoding: str = "utf-8") -> str:
    """Return *text* with its line breaks, and escapes for what else is not to be printed."""
    return _encodable(_IN_LINES.sub(_escape, text), encoding)


def printable_json(text: str, encoding: str = "utf-8") -> str:
    """Return JSON text with escapes of JSON, such as ``\\u009b``, so that it means the same as before."""
    text = _IN_LINES.sub(lambda found: json.dumps(found[0])[1:-1], text)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)
    return text


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _encodable(text: str, encoding: str) -> str:
    return text.encode(encoding, "backslashreplace").decode(encoding)
