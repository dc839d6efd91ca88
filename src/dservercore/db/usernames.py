"""User names: which there may be, and which are the same name.

A name is part of paths (``/users/<name>``) and is compared by people. So it is stored in NFC, has nothing in it that
nobody sees, and differs from every other one by more than upper and lower case. Names that are registered already, also
by the original server, are not checked.
"""

from __future__ import annotations

import re
import unicodedata

from dservercore.errors import invalid

USERNAME_LENGTH = 64
#: Characters of the key of the longest name, of which each may become three.
KEY_LENGTH = 3 * USERNAME_LENGTH

# What is not seen though Unicode counts it neither as control nor as format characters: the grapheme joiner, fillers of
# Hangul, inherent vowels of Khmer, variation selectors, the blank of Braille; and what it keeps for others of the kind,
# or for no character at all.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufdd0-\ufdef\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
_NONCHARACTERS = {0xFFFE, 0xFFFF}  # at the end of each plane
# Control characters, format characters, halves of surrogate pairs, separators of lines and paragraphs.
_REFUSED_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_DOTS = {".", ".."}


def canonical(username: str) -> str:
    """Return the form in which a name is stored: NFC, in which an accent is part of its letter."""
    return username if username.isascii() else unicodedata.normalize("NFC", username)


def key_of(username: str) -> str:
    """Return the key of a name, which is the same for names that differ in nothing but upper and lower case."""
    if username.isascii():
        return username.lower()
    folded = "".join(map(_without_case, unicodedata.normalize("NFD", username)))
    return unicodedata.normalize("NFC", folded)


def _without_case(character: str) -> str:
    # Character by character: Weiß is another name than Weiss, which only some capitals spell alike.
    folded = character.casefold()
    return folded if len(folded) == 1 else character.lower()


def _is_unseen(character: str) -> bool:
    return bool(_UNSEEN.match(character)) or ord(character) & 0xFFFF in _NONCHARACTERS


def checked_username(username: str) -> str:
    """Return a new user's name as it is to be stored.

    :raises ValidationError: 422 that says what is wrong, as :func:`checked_name` does
    """
    return checked_name(username, "username")


def checked_name(name: str, field: str) -> str:
    """Return the name of a new user or group as it is to be stored.

    It has 1 to 64 characters, all of which are seen, no slash, no space at its ends or other than the usual one, and is
    not ``.`` or ``..``, which clients drop from paths.

    :raises ValidationError: 422 that says what is wrong
    """
    name = canonical(name)
    if not 1 <= len(name) <= USERNAME_LENGTH:
        raise invalid(field, f"must have 1 to {USERNAME_LENGTH} characters")
    if "/" in name or name in _DOTS:
        raise invalid(field, "must not be . or .., and must have no /, as it is part of paths")
    for character in name:
        if unicodedata.category(character) in _REFUSED_CATEGORIES or _is_unseen(character):
            code = f"U+{ord(character):04X}"
            raise invalid(field, f"contains a control character, or one that nobody sees ({code})")
        if character == "\N{REPLACEMENT CHARACTER}":
            raise invalid(field, "contains U+FFFD, which stands for something that is not UTF-8")
        if character != " " and unicodedata.category(character) == "Zs":
            raise invalid(field, f"contains a space other than the usual one (U+{ord(character):04X})")
    if name != name.strip():  # which nobody would see, and some databases do not count
        raise invalid(field, "must not begin or end with a space")
    return name
