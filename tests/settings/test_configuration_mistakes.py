"""A mistake in the configuration ends in one clear line and a non-zero exit, however the server is started."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dservercore import create_app
from dservercore.db import require_upgraded
from dservercore.errors import ConfigurationError
from dservercore.settings.keys import generate_key_pair
from dservercore.settings.table import DERIVED_SETTINGS, SETTINGS
from support import forking
from support.live_server import APPLICATION, START_SECONDS, environment, flask
from support.waiting import free_port

PASSWORD = "tell-nobody"

START_LINES = re.compile(r"\[\d{4}-\d\d-\d\d [\d: +]+\] \[\d+\] \[\w+\]")  # what gunicorn says of itself


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with keys and an upgraded database, and with things that are not what they should be."""
    home = tmp_path_factory.mktemp("home")
    generate_key_pair(home)
    assert flask(home, "db", "upgrade").returncode == 0
    (home / "directory").mkdir()
    (home / "letter").write_text(
        "Dear aunt, this is neither a key nor a database, but long enough to be one.\n" * 20
    )
    (home / "binary").write_bytes(bytes(range(256)))
    key = ec.generate_private_key(ec.SECP256R1())
    (home / "ec").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (home / "ec.pub").write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return home


def start(home: Path, *command: str, **settings: str) -> tuple[int, str]:
    """Run a command that is expected to end by itself; return its exit code and everything that it printed."""
    done = forking.run(
        command, cwd=home, env=environment(home, **settings), together=True, timeout=START_SECONDS
    )
    return done.returncode, done.stdout


def check_one_line(printed: str, *expected: str) -> None:
    """Check that there is one line, that it says what is *expected*, and that it keeps the password for itself."""
    lines = [line for line in printed.splitlines() if line and not START_LINES.match(line)]
    assert len(lines) == 1, printed
    for text in expected:
        assert text in lines[0]
    assert PASSWORD not in printed


# Settings, in which {} is the home directory, and what the line has to say.
MISTAKES: dict[str, tuple[dict[str, str], list[str]]] = {
    "no private key file": (
        {"JWT_PRIVATE_KEY_FILE": "{}/none"},
        ["JWT_PRIVATE_KEY_FILE", "/none", "No such file"],
    ),
    "a directory as key file": (
        {"JWT_PUBLIC_KEY_FILE": "{}/directory"},
        ["JWT_PUBLIC_KEY_FILE", "Is a directory"],
    ),
    "a public key that is none": (
        {"JWT_PUBLIC_KEY_FILE": "{}/letter"},
        ["JWT_PUBLIC_KEY_FILE", "not an RSA public key"],
    ),
    "a private key that is none": (
        {"JWT_PRIVATE_KEY_FILE": "{}/letter"},
        ["JWT_PRIVATE_KEY_FILE", "not an RSA private"],
    ),
    "a key that is no text": (
        {"JWT_PUBLIC_KEY_FILE": "{}/binary"},
        ["JWT_PUBLIC_KEY_FILE", "not a text file"],
    ),
    "the public key as private": (
        {"JWT_PRIVATE_KEY_FILE": "{}/jwt_key.pub"},
        ["JWT_PRIVATE_KEY_FILE", "not an RSA private"],
    ),
    "the private key as public": (
        {"JWT_PUBLIC_KEY_FILE": "{}/jwt_key"},
        ["JWT_PUBLIC_KEY_FILE", "not an RSA public"],
    ),
    "an EC public key": ({"JWT_PUBLIC_KEY_FILE": "{}/ec.pub"}, ["JWT_PUBLIC_KEY_FILE", "RSA"]),
    "an EC private key": ({"JWT_PRIVATE_KEY_FILE": "{}/ec"}, ["JWT_PRIVATE_KEY_FILE", "RSA"]),
    "a key in the environment that is none": (
        {"JWT_PUBLIC_KEY": "ssh-rsa AAAA"},
        ["JWT_PUBLIC_KEY:", "not an RSA"],
    ),
    "no database address": (
        {"SQLALCHEMY_DATABASE_URI": "garbage"},
        ["SQLALCHEMY_DATABASE_URI", "dialect://"],
    ),
    "a port that is no number": (
        {"SQLALCHEMY_DATABASE_URI": f"postgresql://user:{PASSWORD}@host:port/name"},
        ["SQLALCHEMY_DATABASE_URI", "dialect://"],
    ),
    "an unknown dialect": (
        {"SQLALCHEMY_DATABASE_URI": f"dbase3://user:{PASSWORD}@host/name"},
        ["SQLALCHEMY_DATABASE_URI", "'dbase3'"],
    ),
    "an unknown driver": (
        {"SQLALCHEMY_DATABASE_URI": f"mysql+nodriver://user:{PASSWORD}@host/name"},
        ["SQLALCHEMY_DATABASE_URI", "mysql+nodriver"],
    ),
    "a driver that is not installed": (
        {"SQLALCHEMY_DATABASE_URI": f"oracle+cx_oracle://user:{PASSWORD}@host/name"},
        ["SQLALCHEMY_DATABASE_URI", "cx_Oracle", "not installed"],
    ),
    "a directory as database": (
        {"SQLALCHEMY_DATABASE_URI": "sqlite:///{}/directory"},
        ["/directory", "cannot be opened"],
    ),
    "a database below a file": (
        {"SQLALCHEMY_DATABASE_URI": "sqlite:///{}/letter/app.db"},
        ["SQLALCHEMY_DATABASE_URI", "cannot make the directory", "/letter"],
    ),
    "a directory that cannot be written to": (
        {"SQLALCHEMY_DATABASE_URI": "sqlite:////proc/app.db"},
        ["/proc/app.db", "cannot be opened"],
    ),
    "a file that is no database": (
        {"SQLALCHEMY_DATABASE_URI": "sqlite:///{}/letter"},
        ["/letter", "not a database"],
    ),
    "a file as data directory": (
        {"DSERVER_DATA_DIR": "{}/letter"},
        ["DSERVER_DATA_DIR", "/letter", "not a directory"],
    ),
    "a database without tables": ({"SQLALCHEMY_DATABASE_URI": "sqlite:///{}/new.db"}, ["flask db upgrade"]),
    "an unknown search plugin": (
        {"DSERVER_SEARCH_PLUGIN": "nonsense"},
        ["DSERVER_SEARCH_PLUGIN", "'nonsense'", "sql"],
    ),
    "an unknown retrieve plugin": (
        {"DSERVER_RETRIEVE_PLUGIN": "nonsense"},
        ["DSERVER_RETRIEVE_PLUGIN", "'nonsense'"],
    ),
    "an unknown extension": (
        {"DSERVER_EXTENSIONS": "graph, nonsense"},
        ["DSERVER_EXTENSIONS", "nonsense; there are graph, "],
    ),
    "neither yes nor no": (
        {"DISABLE_JWT_AUTHORISATION": "maybe"},
        ["DISABLE_JWT_AUTHORISATION", "'maybe'", "true or false"],
    ),
    "an unknown level": ({"DSERVER_LOG_LEVEL": "LOUD"}, ["DSERVER_LOG_LEVEL", "'LOUD'", "WARNING"]),
    "a size that is no number": (
        {"MAX_CONTENT_LENGTH": "lots"},
        ["MAX_CONTENT_LENGTH", "'lots'", "number of bytes"],
    ),
    "a size below nothing": ({"MAX_CONTENT_LENGTH": "-1"}, ["MAX_CONTENT_LENGTH", "'-1'", "number of bytes"]),
    "no tags at all": ({"DSERVER_MAX_TAGS": "0"}, ["DSERVER_MAX_TAGS", "'0'", "a number from 1 to"]),
    "deeper than the stores": (
        {"DSERVER_MAX_ANNOTATION_DEPTH": "65"},
        ["DSERVER_MAX_ANNOTATION_DEPTH", "1 to 64"],
    ),
    "longer than any query": (
        {"DSERVER_MAX_QUERY_LENGTH": "1e9"},
        ["DSERVER_MAX_QUERY_LENGTH", "1 to 10000"],
    ),
    "no time": ({"DSERVER_SEARCH_TIMEOUT": "0"}, ["DSERVER_SEARCH_TIMEOUT", "'0'", "number of seconds"]),
    "endless": ({"DSERVER_SEARCH_TIMEOUT": "nan"}, ["DSERVER_SEARCH_TIMEOUT", "'nan'", "number of seconds"]),
    "no JSON": ({"API_SPEC_OPTIONS": "{{"}, ["API_SPEC_OPTIONS", "not JSON"]),
    "JSON of another kind": ({"API_SPEC_OPTIONS": "[]"}, ["API_SPEC_OPTIONS", "object"]),
    "a description of another kind": (
        {"API_SPEC_OPTIONS": '{{"info": 5}}'},
        ["API_SPEC_OPTIONS", "info", "object"],
    ),
    "no file with JSON": ({"API_SPEC_OPTIONS_FILE": "{}/none"}, ["API_SPEC_OPTIONS_FILE", "/none"]),
}


def settings_of(mistake: str, home: Path) -> dict[str, str]:
    return {name: value.format(home) for name, value in MISTAKES[mistake][0].items()}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_line(home: Path, mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in [*SETTINGS, *DERIVED_SETTINGS]:
        monkeypatch.delenv(setting.name, raising=False)
    for name, value in environment(home, **settings_of(mistake, home)).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught, create_app().app_context():
        require_upgraded()
    check_one_line(caught.value.message, *MISTAKES[mistake][1])


#: One of each kind, which every program meets at another point.
EXAMPLES = [
    "an EC public key",
    "a port that is no number",
    "a directory as database",
    "a database without tables",
    "an unknown search plugin",
    "neither yes nor no",
]


@pytest.mark.long
@pytest.mark.parametrize("mistake", EXAMPLES)
def test_flask_run(home: Path, mistake: str) -> None:
    code, printed = start(home, "flask", "run", "--port", str(free_port()), **settings_of(mistake, home))
    assert code == 1
    check_one_line(printed, "Error: ", *MISTAKES[mistake][1])


@pytest.mark.parametrize("mistake", EXAMPLES)
def test_a_management_command(home: Path, mistake: str) -> None:
    code, printed = start(home, "flask", "user", "list", **settings_of(mistake, home))
    assert code == 1
    check_one_line(printed, *MISTAKES[mistake][1])


@pytest.mark.long
@pytest.mark.parametrize("mistake", EXAMPLES)
def test_gunicorn(home: Path, mistake: str) -> None:
    """It adds when it started and stopped; it does not try again and again."""
    place = f"127.0.0.1:{free_port()}"
    code, printed = start(home, "gunicorn", "--bind", place, APPLICATION, **settings_of(mistake, home))
    assert code == 4
    check_one_line(printed, "Error: ", *MISTAKES[mistake][1])


class TestMigrations:
    """``flask db upgrade`` is what a database without tables needs; the other mistakes stop it, too."""

    @pytest.mark.parametrize(
        "mistake",
        ["a directory as database", "a file that is no database", "an unknown dialect", "neither yes nor no"],
    )
    def test_upgrade(self, home: Path, mistake: str) -> None:
        code, printed = start(home, "flask", "db", "upgrade", **settings_of(mistake, home))
        assert code == 1
        check_one_line(printed, *MISTAKES[mistake][1])


class TestAPortInUse:
    @pytest.fixture
    def port(self) -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            yield str(taken.getsockname()[1])

    def test_flask_run(self, home: Path, port: str) -> None:
        code, printed = start(home, "flask", "run", "--port", port)
        assert code == 1
        assert f"Port {port} is in use" in printed
        assert "Traceback" not in printed

    def test_gunicorn(self, home: Path, port: str) -> None:
        code, printed = start(home, "gunicorn", "--bind", f"127.0.0.1:{port}", APPLICATION)
        assert code == 1
        assert f"127.0.0.1', {port}" in printed
        assert "Traceback" not in printed


class TestInPython:
    """Who makes the application in code gets an exception with the same line."""

    def test_create_app(self, home: Path) -> None:
        code = "from dservercore import create_app\ntry: create_app()\nexcept Exception as error: print(repr(error))"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(home, DISABLE_JWT_AUTHORISATION="maybe"),
            capture_output=True,
            text=True,
        )
        expected = "ConfigurationError(\"DISABLE_JWT_AUTHORISATION='maybe': expected true or false\")\n"
        assert (done.stdout, done.stderr) == (expected, "")
