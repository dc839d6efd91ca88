"""The text of a README that was handed over as a value, such as a mapping, instead of as YAML."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Set
from typing import Any

import yaml

from dservercore.errors import invalid


def text_of(readme: Any) -> Any:
    """Return a README as text: a mapping or a list as YAML in the order of its keys, None as an empty text.

    Anything else comes back as it is.

    :raises ValidationError: naming the field, if it cannot be written as YAML
    """
    if readme is None:
        return ""
    if not isinstance(readme, (Mapping, list, tuple)):
        return readme
    try:
        return yaml.safe_dump(_plain(readme), sort_keys=False, allow_unicode=True, default_flow_style=False)
    except (RecursionError, TypeError, ValueError, yaml.YAMLError):
        raise invalid("readme", "cannot be written as YAML") from None


def _plain(value: Any) -> Any:
    """Return *value* made of the types that YAML has; what is of another type, such as a UUID, becomes its text."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(element) for key, element in value.items()}
    if isinstance(value, Set):
        return [_plain(element) for element in sorted(value, key=str)]
    if isinstance(value, (list, tuple)):
        return [_plain(element) for element in value]
    # Exactly these: a class that is derived from one of them may be anything to YAML.
    kinds = (str, int, float, bool, type(None), datetime.date, datetime.datetime)
    return value if type(value) in kinds else str(value)
