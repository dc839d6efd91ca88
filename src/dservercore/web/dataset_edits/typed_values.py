"""The value of an annotation as somebody types it: a text and a type, and what they stand for in JSON."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from werkzeug.exceptions import HTTPException

from dservercore.rest.body_limits import limit_of_request
from dservercore.rest.request_parser import BAD_NUMBER, read_json
from dservercore.web.texts import gettext, noted

#: What somebody can choose, and how it is called.
TYPES = {
    "text": noted("Text"),
    "number": noted("Number"),
    "true": noted("Yes (true)"),
    "false": noted("No (false)"),
    "null": noted("Nothing (null)"),
    "json": noted("JSON: a list, an object"),
}

_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WITH_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")
_MOST_SHOWN = 40


class UnreadableError(ValueError):
    """What was typed is no value of its type. The message says why, for who typed it."""


def typed(value: Any) -> tuple[str, str]:
    """Return the type and the text that stand for a value."""
    if isinstance(value, str):
        return "text", value
    if value is True or value is False or value is None:
        return json.dumps(value), ""
    if isinstance(value, (int, float)):
        return "number", json.dumps(value)
    return "json", json.dumps(value, ensure_ascii=False, indent=2)


def value_of(kind: str, text: str) -> Any:
    """Return the value that a text of a type stands for.

    :param kind: one of ``TYPES``
    :raises UnreadableError: if it stands for none
    """
    if kind not in TYPES:
        raise UnreadableError(gettext("Choose one of the types."))
    if kind in _WORDS:
        return _WORDS[kind]
    if kind == "number":
        return _number(text.strip())
    return text if kind == "text" else _json(text)


def is_rounded(kind: str, text: str, value: Any) -> bool:
    """Return whether a number has fewer digits now than were typed."""
    return kind == "number" and isinstance(value, float) and Decimal(text.strip()) != Decimal(repr(value))


def _number(text: str) -> Any:
    if not text:
        raise UnreadableError(gettext("The number is missing."))
    if not _NUMBER.fullmatch(text):
        shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
        if _WITH_COMMA.fullmatch(text):
            hint = gettext("write it with a point, as in 1.5")
        else:
            hint = gettext("a number is written like 42, -0.5 or 6.02e23; anything else is text")
        raise UnreadableError(gettext("“{text}” is not a number: {hint}.").format(text=shown, hint=hint))
    return _read(text)


def _json(text: str) -> Any:
    if not text.strip():
        raise UnreadableError(gettext("The value is missing. An empty list is [], an empty object is {}."))
    return _read(text)


def _read(text: str) -> Any:
    try:
        value, problems = read_json(text.encode(), limit_of_request())
    except json.JSONDecodeError as error:
        raise UnreadableError(
            gettext("Not JSON: line {line}, column {column}: {reason}.").format(
                line=error.lineno, column=error.colno, reason=error.msg
            )
        ) from None
    except RecursionError:
        raise UnreadableError(gettext("It is nested too deeply.")) from None
    except ValueError as error:
        raise UnreadableError(gettext("Not JSON: {reason}.").format(reason=error)) from None
    except HTTPException:
        raise UnreadableError(gettext("It has more parts than this server takes.")) from None
    if problems:
        raise UnreadableError(_message(problems))
    return value


def _message(problems: Any) -> str:
    while isinstance(problems, dict):
        problems = next(iter(problems.values()))
    message = str(problems[0])
    if message == BAD_NUMBER:
        return gettext(
            "This number is too large: whole numbers have up to 64 bits, others are less than 1.8e308."
            " As a text it is kept as it is."
        )
    return message
