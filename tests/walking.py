"""Walks through a document as its reader would: runs its commands in a shell, and compares what they print.

Of the document's blocks, those in ``bash`` are run, command by command, in one shell that keeps variables and the
working directory. A ``json`` or ``text`` block after one is what its last command prints. A block in another language
is a file, if the last thing in the paragraph before it is the file's name. What a document includes with
``literalinclude`` counts as a block.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sysconfig
import time
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

COMMAND_SECONDS = 120
START_SECONDS = 60

#: Keys of documented objects whose values differ from run to run: only their types are compared.
VOLATILE = re.compile(r"uuid|created_at|frozen_at|uploaded_at|dservercore|dserver_.*")

#: In documented output: stands for anything (in a line), for other keys (of an object), for more elements (of a list).
ANYTHING = "..."


# -- The document ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A block of code; ``language`` is "" where the document does not name one."""

    language: str
    text: str
    section: str
    paragraph: str
    line: int


def blocks(document: Path) -> list[Block]:
    """Return the blocks of code of a document in reStructuredText."""
    lines = document.read_text().splitlines()
    found: list[Block] = []
    section = paragraph = ""
    number = 0
    while number < len(lines):
        line = lines[number]
        if re.fullmatch(r"([=\-^~])\1{2,}", line) and number and lines[number - 1].strip():
            section = lines[number - 1].strip()
        directive = re.fullmatch(r" *\.\. code-block:: ?(\S*)", line)
        if directive or (line.endswith("::") and not line.lstrip().startswith("..")):
            end = _end_of_block(lines, number)
            language = directive.group(1) if directive else ""
            found.append(Block(language, _dedented(lines[number + 1 : end]), section, paragraph, number + 1))
            number = end
            continue
        included = re.fullmatch(r"\.\. literalinclude:: (\S+)", line)
        if included:
            text = (document.parent / included.group(1)).read_text().strip("\n")
            found.append(Block("include", text, section, paragraph, number + 1))
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


# -- The reader's machine --------------------------------------------------------------------------------------------


def make_environment(home: Path, with_pip: bool = True) -> dict[str, str]:
    """Return the environment of a reader with an empty home directory, where this checkout is installed.

    It has a virtual environment on top of the one that runs the tests, so that ``pip install`` changes nothing else.

    :param with_pip: whether anything is going to be installed
    """
    place = home / ".venv"
    venv.create(place, with_pip=with_pip)
    python = place / "bin" / "python"
    library = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(library) / "ours.pth").write_text(
        "".join(f"import site; site.addsitedir({path!r})\n" for path in sorted(ours))
    )
    for name in ("flask", "gunicorn"):
        script = place / "bin" / name
        script.write_text(
            f"#!{python}\nimport runpy\nrunpy.run_module({name!r}, run_name='__main__', alter_sys=True)\n"
        )
        script.chmod(0o755)
    # An answer that is an error makes curl fail, and there is no progress to see.
    (home / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "PYTHONWARNINGS": "ignore"}


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Ran:
    """What a command printed, and the status with which it ended."""

    stdout: str
    stderr: str
    status: int

    def __str__(self) -> str:
        return f"status {self.status}\n{self.stdout}{self.stderr}"


class Shell:
    """A bash in which one command after the other is run."""

    def __init__(self, directory: Path, environment: Mapping[str, str]):
        self._files = directory / ".shell"
        self._files.mkdir()
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            text=True,
        )
        self._servers: list[int] = []

    @property
    def directory(self) -> Path:
        """The working directory."""
        return Path(self.run("pwd").stdout.strip())

    def run(self, command: str) -> Ran:
        """Run a command, and wait for its end."""
        out, err, status = (self._files / name for name in ("out", "err", "status"))
        status.unlink(missing_ok=True)
        self._say(
            f"{{ {command}\n}} >{out} 2>{err} </dev/null\necho $? >{status}.new; mv {status}.new {status}"
        )
        deadline = time.monotonic() + COMMAND_SECONDS
        while not status.exists():
            assert self._bash.poll() is None, f"the shell ended: {command}"
            assert time.monotonic() < deadline, f"takes longer than {COMMAND_SECONDS} s: {command}"
            time.sleep(0.01)
        return Ran(out.read_text().replace("\r\n", "\n"), err.read_text(), int(status.read_text()))

    def serve(self, command: str, address: str) -> None:
        """Run a server in the background, and wait until it answers at *address*; another one is stopped first."""
        self.stop_serving()
        log = self._files / "server.log"
        started = self.run(f"{command} >{log} 2>&1 & echo $!")
        self._servers.append(int(started.stdout))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                if requests.get(f"{address}/config/health", timeout=5).ok:
                    return
            except requests.RequestException:  # not there yet, or slow to answer
                time.sleep(0.1)
        pytest.fail(f"{command}: no answer\n{log.read_text()}")

    def stop_serving(self) -> None:
        """Stop the server, as Ctrl-C or a service manager would."""
        while self._servers:
            process = self._servers.pop()
            self.run(f"kill -{signal.SIGTERM.value} {process}; wait {process}")

    def close(self) -> None:
        """End the shell and what runs in it."""
        self.stop_serving()
        assert self._bash.stdin
        self._bash.stdin.close()
        self._bash.wait(timeout=COMMAND_SECONDS)

    def _say(self, text: str) -> None:
        assert self._bash.stdin
        self._bash.stdin.write(f"{text}\n")
        self._bash.stdin.flush()


# -- The walk --------------------------------------------------------------------------------------------------------


@dataclass
class Walk:
    """How to walk through one document.

    In what is run before, what is substituted, and servers, ``{home}``, ``{host}`` and ``{port}`` are the directory of
    the walk, the name of the machine and a free port.

    :param before: commands that bring about what the document takes for granted
    :param is_served: whether it takes a running server for granted
    :param not_run: text of blocks and commands that are not run, and why
    :param substituted: what stands in the document, and what the test needs in its place
    :param servers: commands that serve until they are stopped, as the test runs them
    :param asides: sections whose settings are not meant for what follows: each of their blocks has a shell of its own
    :param failing: commands that are documented to fail
    :param installs: whether the document installs anything
    """

    document: Path
    before: str = ""
    is_served: bool = False
    not_run: Mapping[str, str] = field(default_factory=dict)
    substituted: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, str] = field(default_factory=dict)
    asides: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()
    installs: bool = False

    def go(self, home: Path) -> None:
        """Walk from top to bottom, failing where the document is not true."""
        self._values = {"home": str(home), "host": socket.gethostname(), "port": str(free_port())}
        self._met: set[str] = set()
        self._last: Ran | None = None
        shell = Shell(home, make_environment(home, with_pip=self.installs))
        try:
            self._prepare(shell)
            for block in blocks(self.document):
                self._step(shell, block)
        finally:
            shell.close()
        stale = {*self.not_run, *self.servers, *self.asides, *self.failing} - self._met
        assert not stale, f"{self.document.name} has no more of: {stale}"

    def _prepare(self, shell: Shell) -> None:
        for command in commands(self.before):
            ran = shell.run(command.replace("{home}", self._values["home"]))
            assert ran.status == 0, f"before {self.document.name}: {command}\n{ran}"
        if self.is_served:
            self._serve(shell, "flask run --port {port}")

    def _step(self, shell: Shell, block: Block) -> None:
        where = f"{self.document.name}, line {block.line}"
        if block.text in self.not_run:
            self._met.add(block.text)
        elif block.language == "bash":
            self._run(shell, block, where)
        elif block.language in ("json", "text"):
            assert self._last, f"{where}: no command before this output"
            is_text = block.language == "text"
            printed = f"{self._last.stdout}\n{self._last.stderr}" if is_text else self._last.stdout
            assert_printed(block.language, self._substitute(block.text), printed, where)
        elif file := re.search(r"``([^`\s]+\.\w+)``:$", block.paragraph):
            path = shell.directory / file.group(1)
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(f"{self._substitute(block.text)}\n")
        else:
            pytest.fail(f"{where}: neither run nor listed as not run:\n{block.text}")

    def _run(self, shell: Shell, block: Block, where: str) -> None:
        if block.section in self.asides:
            self._met.add(block.section)
            self._last = shell.run(f"(\nset -e\n{self._substitute(block.text)}\n)")
            assert self._last.status == 0, f"{where}: {block.text}\n{self._last}"
            return
        for command in commands(block.text):
            if command in self.servers:
                self._met.add(command)
                self._serve(shell, self.servers[command])
            elif command in self.not_run:
                self._met.add(command)
            else:
                self._last = shell.run(self._substitute(command))
                self._check_status(command, where)

    def _serve(self, shell: Shell, command: str) -> None:
        shell.serve(command.format(**self._values), f"http://localhost:{self._values['port']}")

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
