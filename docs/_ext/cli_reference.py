"""The directive ``cli-reference``: every command that the package adds to ``flask``, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, distribution
from typing import Any

import click
from generated import GeneratedDirective, bundled_extensions
from sphinx.application import Sphinx

# In the order in which a newcomer meets them; what is not named here follows.
FIRST = ("init", "serve", "keys", "user", "base_uri", "dataset", "search", "config", "backup", "restore")


class CliReference(GeneratedDirective):
    """Hands each entry point of ``flask.commands`` to sphinx-click."""

    def lines(self) -> Iterator[str]:
        for command in commands():
            yield from _described(command.name, command.value)


class ExtensionCommands(GeneratedDirective):
    """Hands the commands of the bundled extensions to sphinx-click, which are in their modules ``commands``."""

    def lines(self) -> Iterator[str]:
        for name, extension in bundled_extensions().items():
            for command in extension.get_commands():
                module = import_module(f"dservercore.plugins.{name}.commands")
                (attribute,) = [key for key, value in vars(module).items() if value is command]
                yield from _described(str(command.name), f"{module.__name__}:{attribute}")


def _described(name: str, value: str) -> Iterator[str]:
    yield f".. click:: {value}"
    yield f"   :prog: flask {name}"
    yield "   :nested: full"
    yield ""


def commands() -> list[EntryPoint]:
    """Return the entry points of the commands."""
    rank = {name: position for position, name in enumerate(FIRST)}
    found = distribution("dservercore").entry_points.select(group="flask.commands")
    return sorted(found, key=lambda command: (rank.get(command.name, len(rank)), command.name))


def as_rst(help_text: list[str]) -> Iterator[str]:
    """Yield the lines of a help text, which is plain text, as reStructuredText.

    sphinx-click has made line blocks of the examples, which are code.
    """
    quoted = re.sub(r"`([^`]+)`", lambda code: f"``{' '.join(code[1].split())}``", "\n".join(help_text))
    in_code = False
    for line in quoted.splitlines():
        is_code = line.startswith("| ")
        if is_code and not in_code:
            yield from ("", ".. code-block:: bash", "")
        in_code = is_code
        yield f"   {line[2:].strip()}" if is_code else line.replace("*", r"\*")


def describe(_app: Sphinx, _context: click.Context, lines: list[str]) -> None:
    """Rewrite the description of a command."""
    lines[:] = as_rst(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("cli-reference", CliReference)
    app.add_directive("cli-of-extensions", ExtensionCommands)
    app.connect("sphinx-click-process-description", describe)
    return {"parallel_read_safe": True}
