"""Walks through a document as its reader would: runs its commands in a shell, and compares what they print.

Of the document's blocks, those in ``bash`` are run, command by command, in one terminal that keeps variables and the
working directory, until a server occupies it. A ``json`` or ``text`` block after one is what its last command prints.
A block in another language is a file, if the last thing in the paragraph before it is the file's name. What a document
includes with ``literalinclude`` counts as a block.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.readers_machine import CHECKOUT, Ran, Shell, make_machine
from support.waiting import free_port

#: Keys of documented objects whose values differ from run to run: only their types are compared.
VOLATILE = re.compile(r"uuid|created_at|frozen_at|uploaded_at|dservercore|dserver_.*")

#: In documented output: stands for anything (in a line), for other keys (of an object), for more elements (of a list).
ANYTHING = "..."


# -- The document ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A block of code; ``language`` is "" where the document does not name one.

    ``chapter`` is the title above it that is underlined with hyphens.
    """

    language: str
    text: str
    section: str
    chapter: str
    paragraph: str
    line: int


def blocks(document: Path) -> list[Block]:
    """Return the blocks of code of a document in reStructuredText."""
    lines = document.read_text().splitlines()
    found: list[Block] = []
    section = chapter = paragraph = ""
    number = 0
    while number < len(lines):
        line = lines[number]
        if re.fullmatch(r"([=\-^~])\1{2,}", line) and number and lines[number - 1].strip():
            section = lines[number - 1].strip()
            chapter = section if line[0] == "-" else chapter
        directive = re.fullmatch(r" *\.\. code-block:: ?(\S*)", line)
        if directive or (line.endswith("::") and not line.lstrip().startswith("..")):
            end = _end_of_block(lines, number)
            language = directive.group(1) if directive else ""
            text = _dedented(lines[number + 1 : end])
            found.append(Block(language, text, section, chapter, paragraph, number + 1))
            number = end
            continue
        included = re.fullmatch(r"\.\. literalinclude:: (\S+)", line)
        if included:
            text = (document.parent / included.group(1)).read_text().strip("\n")
            found.append(Block("include", text, section, chapter, paragraph, number + 1))
            number = _end_of_block(lines, number)
            continue
        if line.strip():
            paragraph = f"{paragraph}\n{line}" if lines[number - 1].strip() else line
        number += 1
    return found


def _end_of_block(lines: list[str], start: int) -> int:
    margin = len(lines[start]) - len(lines[start].lstrip())
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if line.strip() and len(line) - len(line.lstrip()) <= margin:
            return number
    return len(lines)


def _dedented(lines: list[str]) -> str:
    lines = [line for line in lines if not re.match(r" +:\w[\w-]*:", line)]  # options of the directive
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[margin:] for line in lines).strip("\n")


def commands(text: str) -> Iterator[str]:
    """Yield the commands of a block, each with all of its lines."""
    command = ""
    for line in text.splitlines():
        command = f"{command}\n{line}" if command else line
        if not command.strip() or (not line.endswith("\\") and _is_complete(command)):
            if command.strip() and not command.startswith("#"):
                yield command
            command = ""
    assert not command, f"not a complete command: {command}"


def _is_complete(command: str) -> bool:
    # bash only warns about a here-document without an end.
    check = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
    return check.returncode == 0 and not check.stderr


# -- The walk --------------------------------------------------------------------------------------------------------


def install(home: Path) -> None:
    """Install the clone by the README's commands into an empty home directory: as a virtual environment, dserver."""
    chapter = [block for block in blocks(CHECKOUT / "README.rst") if block.chapter == "Install and start"]
    shell = Shell(home / "dservercore", make_machine(home))
    try:
        for command in commands(chapter[0].text):
            ran = shell.run(command)
            assert ran.status == 0, f"{command}\n{ran}"
    finally:
        shell.close()


#: How a server is run that a document takes for granted.
SERVE = "flask serve --port {port}"


@dataclass
class Walk:
    """How to walk through one document.

    In what is run before, what is substituted, and servers, ``{home}``, ``{host}`` and ``{port}`` are the home
    directory, the name of the machine and a free port.

    :param settings: variables that are set in every terminal
    :param before: commands that bring about what the document takes for granted, typed into a terminal that is closed
    :param opening: a command that is typed into the terminal in which the document is read
    :param is_served: whether it takes a running server for granted
    :param not_run: text of blocks and commands that are not run, and why
    :param substituted: what stands in the document, and what the test needs in its place
    :param servers: commands that serve until they are stopped, as the test runs them
    :param terminals: whether a server occupies its terminal, and what follows is typed into a new one
    :param again: a chapter; each one after it is read by somebody with a new terminal, who types the first block after
        that chapter's server into it and starts there
    :param failing: commands that are documented to fail
    :param start: the directory, below the home directory, in which terminals open
    """

    document: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    opening: str = ""
    is_served: bool = False
    not_run: Mapping[str, str] = field(default_factory=dict)
    substituted: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, str] = field(default_factory=dict)
    terminals: bool = False
    again: str = ""
    failing: frozenset[str] = frozenset()
    start: str = "."

    def go(self, home: Path, environment: Path | None = None) -> None:
        """Walk from top to bottom, failing where the document is not true.

        :param home: an empty directory, for the machine
        :param environment: the virtual environment that is active, if any
        """
        self._values = {"home": str(home), "host": socket.gethostname(), "port": str(free_port())}
        self._met: set[str] = set()
        self._last: Ran | None = None
        settings = {name: text.format(**self._values) for name, text in self.settings.items()}
        self._variables = make_machine(home, environment) | settings
        self._opening: Block | None = None
        self._shells: list[Shell] = []
        self._open_terminal()
        try:
            self._prepare()
            self._read(blocks(self.document))
        finally:
            for shell in self._shells:
                shell.close()
        stale = {*self.not_run, *self.servers, *self.failing} - self._met
        assert not stale, f"{self.document.name} has no more of: {stale}"

    @property
    def _shell(self) -> Shell:
        return self._shells[-1]

    def _open_terminal(self) -> None:
        self._shells.append(Shell(Path(self._values["home"]) / self.start, self._variables))
        self._is_new = True

    def _prepare(self) -> None:
        for command in commands(self.before):
            ran = self._shell.run(command.replace("{home}", self._values["home"]))
            assert ran.status == 0, f"before {self.document.name}: {command}\n{ran}"
        if self.is_served:
            self._serve(SERVE)
        if self.before:
            self._open_terminal()
        if self.opening:
            self._shell.run(self.opening)

    def _read(self, document: list[Block]) -> None:
        last = None
        for block in document:
            if self.again and self._opening and last and block.chapter not in (last.chapter, self.again):
                self._open_terminal()
                self._step(self._opening)
            self._step(block)
            last = block

    def _step(self, block: Block) -> None:
        where = f"{self.document.name}, line {block.line}"
        if block.text in self.not_run:
            self._met.add(block.text)
        elif block.language == "bash":
            self._run(block, where)
        elif block.language in ("json", "text"):
            assert self._last, f"{where}: no command before this output"
            is_text = block.language == "text"
            printed = f"{self._last.stdout}\n{self._last.stderr}" if is_text else self._last.stdout
            assert_printed(block.language, self._substitute(block.text), printed, where)
        elif file := re.search(r"``([^`\s]+\.\w+)``:$", block.paragraph):
            path = self._shell.directory / file.group(1)
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(f"{self._substitute(block.text)}\n")
        else:
            pytest.fail(f"{where}: neither run nor listed as not run:\n{block.text}")

    def _run(self, block: Block, where: str) -> None:
        if self._is_new and len(self._shells) > 1 and not self._opening:
            self._opening = block
        self._is_new = False
        for command in commands(block.text):
            if command in self.servers:
                self._met.add(command)
                self._serve(self.servers[command])
                if self.terminals:
                    self._open_terminal()
            elif command in self.not_run:
                self._met.add(command)
            else:
                self._last = self._shell.run(self._substitute(command))
                self._check_status(command, where)

    def _serve(self, command: str) -> None:
        for shell in self._shells:
            shell.stop_serving()
        self._shell.serve(command.format(**self._values), f"http://localhost:{self._values['port']}")

    def _check_status(self, command: str, where: str) -> None:
        assert self._last
        if command in self.failing:
            self._met.add(command)
            assert self._last.status != 0, f"{where}: {command}\nis meant to fail, and gave: {self._last}"
        else:
            assert self._last.status == 0, f"{where}: {command}\n{self._last}"

    def _substitute(self, text: str) -> str:
        table = {"localhost:5000": "localhost:{port}", **self.substituted}
        # All at once, so that nothing is substituted in what was substituted; the longest first.
        documented = "|".join(re.escape(key) for key in sorted(table, key=len, reverse=True))
        return re.sub(documented, lambda found: table[found[0]].format(**self._values), text)


# -- Comparing -------------------------------------------------------------------------------------------------------


def assert_printed(language: str, documented: str, printed: str, where: str) -> None:
    """Pass if *printed* is what is documented, except for what differs from run to run."""
    if language == "json":
        expected, actual = json.loads(documented), json.loads(printed)
        difference = difference_between(expected, actual)
        assert not difference, f"{where}: {difference}\n{json.dumps(actual, indent=2)}"
        return
    rest = printed.splitlines()
    for line in documented.splitlines():
        pattern = ".*".join(map(re.escape, line.strip().split(ANYTHING)))
        while rest and not re.fullmatch(pattern, rest[0].strip()):
            rest.pop(0)
        assert rest, f"{where}: {line!r} is not there, or not there in this order:\n{printed}"
        rest.pop(0)


def difference_between(expected: Any, actual: Any, path: str = "the answer", volatile: bool = False) -> str:
    """Return in words the first difference; "" if there is none."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _difference_between_objects(expected, actual, path)
    if isinstance(expected, list) and isinstance(actual, list):
        return _difference_between_lists(expected, actual, path)
    if volatile and type(expected) is type(actual):
        return ""
    if expected == actual and type(expected) is type(actual):
        return ""
    return f"{path} is {actual!r}, documented is {expected!r}"


def _difference_between_objects(expected: dict[str, Any], actual: dict[str, Any], path: str) -> str:
    documented = set(expected) - {ANYTHING}
    missing, more = documented - set(actual), set(actual) - documented
    if missing:
        return f"{path} has no {sorted(missing)}"
    if more and ANYTHING not in expected:
        return f"{path} has {sorted(more)}, which are not documented"
    differences = (
        difference_between(expected[key], actual[key], f"{path}.{key}", bool(VOLATILE.fullmatch(key)))
        for key in documented
    )
    return next(filter(None, differences), "")


def _difference_between_lists(expected: list[Any], actual: list[Any], path: str) -> str:
    documented = [element for element in expected if element != ANYTHING]
    if len(documented) > len(actual) or (len(documented) < len(actual) and ANYTHING not in expected):
        return f"{path} has {len(actual)} elements, documented are {len(documented)}"
    differences = (
        difference_between(left, right, f"{path}[{position}]")
        for position, (left, right) in enumerate(zip(documented, actual, strict=False))
    )
    return next(filter(None, differences), "")
