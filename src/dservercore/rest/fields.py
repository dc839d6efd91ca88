"""The kinds of values that the schemas are made of, and which of them the stores can hold."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from dservercore.dataset import prices
from dservercore.dataset.times import parse_moment, timestamp_to_datetime
from dservercore.dataset.values import INTEGER_MAX, MAX_JSON_DEPTH, deeper_than
from dservercore.settings.parsers import MAX_SECONDS, parse_duration

MAX_REPORTED_ELEMENTS = 20

_UUID_SPELLING = re.compile(r"(urn:uuid:)?\{?[0-9a-f-]+\}?", re.IGNORECASE)


class UUIDString(fields.String):
    """A UUID in any of its spellings; loads to lower case with dashes."""

    default_error_messages = {"invalid_uuid": "Not a valid UUID."}

    def __init__(self, **kwargs: Any):
        kwargs["metadata"] = {"format": "uuid", **kwargs.get("metadata", {})}
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        # uuid.UUID alone takes underscores and foreign digits too.
        if not _UUID_SPELLING.fullmatch(text):
            raise self.make_error("invalid_uuid")
        try:
            return str(uuid.UUID(text))
        except ValueError:
            raise self.make_error("invalid_uuid") from None


class Choices(fields.String):
    """Some of several words, separated by commas; loads to a tuple of them, without those that are blank.

    :param choices: the words
    """

    def __init__(self, choices: Sequence[str], **kwargs: Any):
        super().__init__(**kwargs)
        self._choices = choices

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        words = [word.strip() for word in super()._deserialize(value, attr, data, **kwargs).split(",")]
        unknown = next((word for word in words if word and word not in self._choices), None)
        if unknown is not None:
            raise ValidationError(f"Unknown: {unknown[:40]!r}. There are {', '.join(self._choices)}.")
        return tuple(dict.fromkeys(filter(None, words)))


class ContainsOnlyThese(validate.ContainsOnly):
    """Passes lists of some of several choices; the error names the first other value, and the choices."""

    def __call__(self, value: Sequence[Any]) -> Sequence[Any]:
        unknown = next((each for each in value if each not in self.choices), None)
        if unknown is not None:
            raise ValidationError(f"Unknown: {str(unknown)[:40]!r}. There are {', '.join(self.choices)}.")
        return value


class Timestamp(fields.Float):
    """Seconds since the epoch, UTC: a number, or a string that holds one. Loads to float."""

    default_error_messages = {"invalid_time": "Not a number of seconds between the years 1 and 9999."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise self.make_error("invalid")
        try:
            timestamp_to_datetime(value)
        except ValueError:
            raise self.make_error("invalid_time") from None
        return float(value)


class Moment(fields.String):
    """A time, as seconds since the epoch or in ISO 8601. Loads to a naive UTC datetime."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return parse_moment(super()._deserialize(value, attr, data, **kwargs))
        except ValueError as error:
            if isinstance(error, ValidationError):
                raise
            raise ValidationError(f"Not a time: {error}.") from None


class Lifetime(fields.Field):
    """How long something works: a whole number of seconds, or a text such as ``30d``. Loads to seconds."""

    default_error_messages = {
        "invalid": "Neither a positive number of seconds, nor a number and a unit (s, m, h, d or w), such as 30d;"
        " of less than 300 years."
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < MAX_SECONDS:
            return value
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            return parse_duration(value)
        except ValueError:
            raise self.make_error("invalid") from None


class Count(fields.Integer):
    """A number of things or bytes: not negative, below 2**63. Takes numeric strings and drops fractions."""

    def __init__(self, **kwargs: Any):
        super().__init__(validate=validate.Range(min=0, max=INTEGER_MAX), **kwargs)


class Price(fields.Field):
    """A price: a number or a text that is one. Loads to a text, in which no digit is lost."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, (int, float, str)):
            raise ValidationError("Not a number.")
        return _checked(prices.checked_price, value)


class Currency(fields.String):
    """A currency, as ISO 4217 calls it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return _checked(prices.checked_currency, super()._deserialize(value, attr, data, **kwargs))


def _checked(check: Callable[[Any], str], value: Any) -> str:
    try:
        return check(value)
    except ValueError as error:
        raise ValidationError(f"{str(error)[0].upper()}{str(error)[1:]}.") from None


class StringList(fields.List):
    """A list of texts. Errors name the first ``MAX_REPORTED_ELEMENTS`` bad elements alone.

    :param longest: characters of each; None: any number
    """

    def __init__(self, longest: int | None = None, **kwargs: Any):
        self._longest = longest
        checks = validate.Length(max=longest) if longest is not None else None
        super().__init__(fields.String(validate=checks), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list) or all(map(self._fits, value)):
            return (
                list(value) if isinstance(value, list) else super()._deserialize(value, attr, data, **kwargs)
            )
        errors: dict[int | str, Any] = {}
        for index, element in enumerate(value):
            try:
                self.inner.deserialize(element, **kwargs)
            except ValidationError as error:
                errors[index] = error.messages
                if len(errors) == MAX_REPORTED_ELEMENTS:
                    break
        raise ValidationError(errors)

    def _fits(self, element: Any) -> bool:
        return type(element) is str and (self._longest is None or len(element) <= self._longest)


class JSONValue(fields.Raw):
    """Any JSON value that every store can hold: at most ``MAX_JSON_DEPTH`` levels deep."""

    default_error_messages = {"too_deep": f"Nested more than {MAX_JSON_DEPTH} levels deep."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if deeper_than(value, MAX_JSON_DEPTH):
            raise self.make_error("too_deep")
        return value


class JSONObject(fields.Dict):
    """A JSON object with any content, at most ``MAX_JSON_DEPTH`` levels deep."""

    def __init__(self, **kwargs: Any):
        super().__init__(keys=fields.String(), values=JSONValue(allow_none=True), **kwargs)


def refuse_many_unknown(schema: Schema, document: Any) -> Any:
    """Return a document as it is, unless it has many unknown members: telling of each takes longer than it is worth.

    :raises marshmallow.ValidationError: naming the first ``MAX_REPORTED_ELEMENTS`` of them
    """
    if isinstance(document, Mapping) and len(document) > len(schema.fields) + MAX_REPORTED_ELEMENTS:
        unknown = islice((name for name in document if name not in schema.fields), MAX_REPORTED_ELEMENTS)
        raise ValidationError({name: ["Unknown field."] for name in unknown})
    return document
