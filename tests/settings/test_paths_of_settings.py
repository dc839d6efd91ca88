"""Whatever is wrong with a path that a setting names: one line that names the setting, and a status."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import forking
from support.live_server import APPLICATION, environment, flask
from support.waiting import free_port

#: Root may enter everything, unless it gives up that right.
WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with things that are not what they should be."""
    (tmp_path / "home").mkdir()
    assert flask(tmp_path / "home", "init").returncode == 0
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "key").write_text("x")
    (tmp_path / "read_only").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "unreadable").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "into_locked").symlink_to(tmp_path / "locked" / "key")
    (tmp_path / "utf-16").write_bytes("{}".encode("utf-16"))
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 2**40)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "locked").chmod(0)
    (tmp_path / "unreadable").chmod(0)
    (tmp_path / "read_only").chmod(0o500)
    yield tmp_path
    (tmp_path / "locked").chmod(0o700)
    (tmp_path / "read_only").chmod(0o700)


def run(place: Path, *command: str, **settings: str) -> tuple[int, str]:
    """Run a command without the rights of root; return its exit code and what it printed, but for gunicorn's own."""
    done = forking.run(
        command,
        prefix=WITHOUT_RIGHTS,
        cwd=place / "home",
        env={**environment(place / "home"), **settings},
        together=True,
        timeout=60,
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith("[20")]
    return done.returncode, "\n".join(lines)


FILES = ["JWT_PRIVATE_KEY_FILE", "JWT_PUBLIC_KEY_FILE", "API_SPEC_OPTIONS_FILE", "DSERVER_METRICS_TOKEN_FILE"]
# Of a file, what is wrong with it, and what the line has to say.
FAULTS = {
    "locked/key": ["Permission denied", "may not enter"],
    "into_locked": ["Permission denied", "may not enter", "/locked:"],
    "unreadable": ["Permission denied", "chown or chmod"],
    "dangling": ["No such file", "a link to"],
    "file/key": ["Not a directory"],
    "loop": ["symbolic links"],
    "x" * 300: ["name too long"],
    "pipe": ["not a regular file"],
    "": ["Is a directory"],
    "utf-16": ["not a text file"],
    "huge": ["more than"],
}


@pytest.mark.parametrize("setting", FILES)
def test_files(place: Path, setting: str) -> None:
    """All faults in one process, which takes long to start."""
    code = (
        "import sys\nfrom dservercore.settings.configuration import read_environment\n"
        "from dservercore.errors import ConfigurationError\n"
        "for path in sys.argv[2:]:\n"
        "    try: read_environment({'DSERVER_DATA_DIR': sys.argv[1] + '/home', '%s': sys.argv[1] + '/' + path})\n"
        "    except ConfigurationError as error: print(error.message)\n"
    )
    done = subprocess.run(
        [*WITHOUT_RIGHTS, sys.executable, "-c", code % setting, str(place), *FAULTS],
        env=environment(place / "home"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(FAULTS), lines
    for line, expected in zip(lines, FAULTS.values(), strict=True):
        assert line.startswith(f"{setting}: cannot read "), line
        for text in expected:
            assert text in line


# Settings, and what the line has to say.
MISTAKES = {
    "a locked data directory": ({"DSERVER_DATA_DIR": "{}/locked"}, ["DSERVER_DATA_DIR", "may not enter"]),
    "one below it": ({"DSERVER_DATA_DIR": "{}/locked/a/b"}, ["DSERVER_DATA_DIR", "may not enter"]),
    "a locked home": ({"DSERVER_DATA_DIR": "", "HOME": "{}/locked"}, ["DSERVER_DATA_DIR", "may not enter"]),
    "a home that nobody has": ({"DSERVER_DATA_DIR": "~nobody-has-it/x"}, ["DSERVER_DATA_DIR", "whole path"]),
    "a link to nothing": ({"DSERVER_DATA_DIR": "{}/dangling"}, ["DSERVER_DATA_DIR", "is a link to"]),
    "below a file": ({"DSERVER_DATA_DIR": "{}/file/x"}, ["DSERVER_DATA_DIR", "not a directory"]),
    "a locked database": (
        {"SQLALCHEMY_DATABASE_URI": "sqlite:///{}/locked/app.db"},
        ["SQLALCHEMY_DATABASE_URI", "may not enter"],
    ),
    "a link to a locked database": (
        {"SQLALCHEMY_DATABASE_URI": "sqlite:///{}/into_locked"},
        ["SQLALCHEMY_DATABASE_URI", "may not enter", "/locked:"],
    ),
    "a link to a locked data directory": (
        {"DSERVER_DATA_DIR": "{}/into_locked"},
        ["DSERVER_DATA_DIR", "may not enter", "/locked:"],
    ),
    "a database that may not be read": (
        {"SQLALCHEMY_DATABASE_URI": "sqlite:///{}/unreadable"},
        ["SQLALCHEMY_DATABASE_URI", "Permission denied", "chown or chmod"],
    ),
    "a directory that may not be written": (
        {"DSERVER_DATA_DIR": "{}/read_only/new"},
        ["read_only/new"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("command", ["flask init", "gunicorn"])
def test_places(place: Path, mistake: str, command: str) -> None:
    settings, expected = MISTAKES[mistake]
    settings = {name: value.format(place) for name, value in settings.items()}
    words = command.split()
    if command == "gunicorn":
        words += ["--bind", f"127.0.0.1:{free_port()}", APPLICATION]
    code, printed = run(place, *words, **settings)
    assert code == (4 if command == "gunicorn" else 1), printed
    assert printed.count("\n") == 0, printed
    for text in expected:
        assert text in printed


@pytest.mark.parametrize("kind", ["unreadable", "pipe", "directory", "binary"])
def test_a_secret_key_that_cannot_be_read(place: Path, kind: str) -> None:
    """Each process would make one of its own, and none accept what another one has signed."""
    secret = place / "home" / "secret_key"
    secret.unlink()
    if kind == "pipe":
        os.mkfifo(secret)
    elif kind == "directory":
        secret.mkdir()
    else:
        secret.write_bytes(b"\xff" * 40)
        secret.chmod(0 if kind == "unreadable" else 0o600)
    code, printed = run(place, "flask", "config", "versions")
    assert code == 1
    assert printed.startswith("Error: SECRET_KEY: cannot read ")
    assert printed.count("\n") == 0
