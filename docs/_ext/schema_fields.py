"""Lists the fields of a marshmallow schema below its docstring, wherever autodoc shows one."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from sphinx.application import Sphinx

_TYPES = {
    "Boolean": "bool",
    "Condition": "condition",
    "Count": "int",
    "Dict": "object",
    "Float": "float",
    "FloatDateTimeField": "float, loads to a naive UTC datetime",
    "Integer": "int",
    "JSONObject": "object",
    "JSONValue": "any JSON value",
    "Nested": "object",
    "Moment": "str, loads to a naive UTC datetime",
    "List": "list",
    "ManifestField": "object",
    "String": "str",
    "StringList": "list of str",
    "Timestamp": "float",
    "UUIDString": "str",
}


def add_fields(_app: Sphinx, _what: str, _name: str, shown: Any, _options: Any, lines: list[str]) -> None:
    """Add the fields of *shown* to the *lines* of its docstring, if it is a schema."""
    if not (isinstance(shown, type) and issubclass(shown, ma.Schema)):
        return
    lines[:] = [line.replace("`", "``") if "``" not in line else line for line in lines]
    lines.append("")
    for name, field in shown._declared_fields.items():
        kind = _TYPES[type(field).__name__]
        if isinstance(field, ma.fields.List):
            kind = f"list of {_TYPES[type(field.inner).__name__]}"
        if isinstance(field, ma.fields.Dict) and field.value_field and kind == "object":
            kind = f"object of {_TYPES.get(type(field.value_field).__name__, 'objects')}"
        notes = [kind, *["required"] * field.required, *["or null"] * field.allow_none]
        text = str(field.metadata.get("description", "")).replace("`", "``")
        lines.append(f"* ``{name}`` ({', '.join(notes)}){': ' if text else ''}{text}")
    lines.append("")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", add_fields)
    return {"parallel_read_safe": True}
