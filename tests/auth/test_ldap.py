"""Names and passwords of a directory: whose they are, and what never passes for one."""

from __future__ import annotations

import logging
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dservercore.auth.ldap import people
from dservercore.auth.ldap.connections import DirectoryError
from dservercore.auth.ldap.options import Options, options_of, warn_of_clear_text
from dservercore.catalog.external_users import External
from dservercore.errors import ConfigurationError
from dservercore.settings.configuration import with_defaults
from support.directories import (
    GROUPS,
    PASSWORDS,
    PEOPLE,
    READER_PASSWORD,
    WRONG,
    binding,
    dn_of,
    new_directory,
    searching,
)
from support.slapd import SUFFIX, Authority, Slapd, program
from support.waiting import free_port, wait_until

pytestmark = pytest.mark.attack

MODES = {"searching": searching, "binding": binding}


@pytest.fixture(params=MODES)
def options(request: pytest.FixtureRequest, directory: Slapd, authority: Authority) -> Options:
    """The directory, asked in each of the two ways."""
    return options_of(with_defaults(MODES[request.param](directory, authority)))


@pytest.fixture
def by_search(directory: Slapd, authority: Authority) -> Any:
    """``by_search(**changes)`` gives options by which users are searched."""
    return lambda **changes: options_of(with_defaults(searching(directory, authority, **changes)))


# Whose a name and a password are


@pytest.mark.parametrize("name", PASSWORDS)
def test_the_right_password(options: Options, name: str) -> None:
    found = people.verify(options, name, PASSWORDS[name])
    assert found is not None
    assert (found.source, found.username, found.groups) == ("ldap", name, None)
    assert found.display_name == f"{name} of the directory"
    assert re.fullmatch(r"[0-9a-f-]{36}", found.key)


@pytest.mark.parametrize("name", PASSWORDS)
def test_other_passwords(options: Options, name: str) -> None:
    others = {WRONG, *PASSWORDS.values()} - {PASSWORDS[name]}
    assert all(people.verify(options, name, password) is None for password in others)


@pytest.mark.parametrize(("typed", "name"), [("ALICE", "alice"), ("carol", "Carol"), ("HÖHNE", "höhne")])
def test_the_directory_says_how_a_name_is_spelt(options: Options, typed: str, name: str) -> None:
    found = people.verify(options, typed, PASSWORDS[name])
    assert found is not None
    assert found.username == name


@pytest.mark.parametrize("name", ["nobody", "nopassword", "afar", "dserver", "imaging"])
def test_who_has_no_password(options: Options, name: str) -> None:
    for password in (WRONG, *PASSWORDS.values(), READER_PASSWORD):
        assert people.verify(options, name, password) is None


@pytest.mark.parametrize("password", ["first of two", "second of two"])
def test_a_name_that_two_have_is_nobodys(by_search: Any, password: str) -> None:
    assert people.verify(by_search(), "twin", password) is None


def test_a_filter_may_look_at_several_attributes(by_search: Any) -> None:
    options = by_search(user_filter="(|(uid={username})(mail={username}))")
    found = people.verify(options, "alice@example.org", "evil")
    assert found is not None
    assert found.username == "mallory"  # who says that this is her address, and is not taken for alice


def test_an_anonymous_search(by_search: Any) -> None:
    found = people.verify(by_search(bind_dn="", bind_password=""), "alice", PASSWORDS["alice"])
    assert found is not None
    assert found.username == "alice"


# What is no name

HOSTILE_NAMES = [
    "*",
    "a*",
    "al*ce",
    "ali*",
    ")(uid=*",
    "*)(uid=*",
    "alice)(objectClass=*",
    "*)(|(uid=*",
    "\\2a",
    "al\\2ace",
    "\\00",
    "alice\0",
    "alice\\00",
    "\0",
    "alice,ou=people",
    f"alice,{PEOPLE}",
    "twin,ou=staff",
    "twin\\2cou=staff",
    "alice+cn=alice of the directory",
    "uid=alice",
    "#616c696365",
    "#",
    " alice",
    "alice ",
    " ",
    "",
    "\\",
    '"',
    "alice\n",
    "ali\u200bce",
    "ali\ud800ce",
    "älice",
    "\uff41lice",  # a wide letter, which directories take for the usual one
    "al\u2170ce",  # a Roman numeral
    "Alice  of the directory",
    "a" * 10_000,
    "ä" * 10_000,
    "{username}",
    "{password}",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=lambda name: ascii(name[:30]))
def test_what_is_no_name(options: Options, name: str) -> None:
    for password in (PASSWORDS["alice"], "first of two", WRONG):
        assert people.verify(options, name, password) is None


@pytest.mark.parametrize("name", ["*", "a(b)c", "{dn}", "a\\b"])
def test_a_name_is_one_value_of_a_filter(by_search: Any, directory: Slapd, name: str) -> None:
    mark = directory.log.stat().st_size
    options = by_search(group_base_dn=GROUPS, group_filter="(&(member={dn})(cn={username}))")
    people.verify(options, name, PASSWORDS.get(name, WRONG))
    escaped = re.sub(r"[*()\\]", lambda found: f"\\{ord(found[0]):02X}", name)
    assert f'filter="(uid={escaped})"' in directory.log.read_text()[mark:]


# What is no password


def test_the_directory_takes_an_empty_password_for_an_anonymous_client(directory: Slapd) -> None:
    command = [program("ldapwhoami"), "-x", "-H", directory.url, "-D", dn_of("alice"), "-w", ""]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "anonymous\n")


@pytest.mark.parametrize(
    "password",
    ["", "\0", f"{PASSWORDS['alice']}\0", "\u00ad", "\u200b", "\ud800", " ", "x" * 10_000],
    ids=ascii,
)
def test_what_is_no_password(options: Options, password: str) -> None:
    for name in ("alice", "nopassword", "nobody"):
        assert people.verify(options, name, password) is None


def test_an_account_that_searches_needs_a_password(by_search: Any) -> None:
    with pytest.raises(ConfigurationError, match="DSERVER_LDAP_BIND_PASSWORD"):
        by_search(bind_password="")


# What can be told from outside


def operations(directory: Slapd, options: Options, name: str, password: str) -> list[str]:
    """Return what the directory is asked when somebody signs in, as it has written down."""
    mark = directory.log.stat().st_size
    people.verify(options, name, password)
    wait_until(lambda: "fd=" in (rest := directory.log.read_text()[mark:]) and "closed" in rest)
    lines = directory.log.read_text()[mark:].splitlines()
    return [
        found[1]
        for line in lines
        if (found := re.search(r" op=\d+ (EXT|BIND|SRCH|UNBIND)\b(?! result)", line))
    ]


def test_who_is_not_known_is_asked_for_just_as_often(options: Options, directory: Slapd) -> None:
    known = operations(directory, options, "alice", WRONG)
    assert known.count("BIND") > 0
    for name in ("nobody", "*", "nopassword", "afar"):
        assert operations(directory, options, name, WRONG) == known


def test_referrals_are_not_followed(options: Options, elsewhere: socket.socket) -> None:
    assert people.verify(options, "afar", PASSWORDS["alice"]) is None
    with pytest.raises(BlockingIOError):
        elsewhere.accept()


# Encryption


@pytest.mark.parametrize("make", MODES.values(), ids=MODES)
def test_encrypted_from_the_beginning(directory: Slapd, authority: Authority, make: Any) -> None:
    options = options_of(with_defaults(make(directory, authority, url=[directory.encrypted_url])))
    assert people.verify(options, "alice", PASSWORDS["alice"])


CERTIFICATES = {"of another host": {"address": "127.0.0.2"}, "that has expired": {"days": -1}}


@pytest.mark.parametrize("flaw", [*CERTIFICATES, "of another authority"])
def test_a_certificate(flaw: str, authority: Authority, tmp_path: Path) -> None:
    signer = Authority(tmp_path / "other") if flaw == "of another authority" else authority
    server = new_directory(tmp_path / "directory", signer, **CERTIFICATES.get(flaw, {}))
    server.start()
    try:
        for make in MODES.values():
            for url in (server.url, server.encrypted_url):
                options = options_of(with_defaults(make(server, authority, url=[url])))
                with pytest.raises(DirectoryError) as failure:
                    people.verify(options, "alice", PASSWORDS["alice"])
                assert "its certificate is not accepted: " in failure.value.reason
                assert "certificate" not in failure.value.message
    finally:
        server.stop()
    assert "BIND" not in server.log.read_text()


def test_the_authorities_of_the_system_do_not_vouch_for_this_one(
    directory: Slapd, authority: Authority
) -> None:
    options = options_of(with_defaults(searching(directory, authority, ca_file="")))
    with pytest.raises(DirectoryError):
        people.verify(options, "alice", PASSWORDS["alice"])


# The first answer, to the question for encryption, and the one to the name and password that would follow.
YES = bytes.fromhex("300c02010178070a010004000400")
NO = bytes.fromhex("300c02010178070a013504000400")
ACCEPTED = bytes.fromhex("300c02010261070a010004000400")
ACCEPTED_AS_FIRST = bytes.fromhex("300c02010161070a010004000400")
STRIPPED = {
    "refused": [NO],
    "unknown": [bytes.fromhex("300c02010178070a010204000400")],
    "promised": [YES, ACCEPTED],
    "promised, and the next answer sent along": [YES + ACCEPTED],
    "promised, with half an answer": [YES + ACCEPTED[:5], ACCEPTED[5:], ACCEPTED],
    "answered by another answer": [ACCEPTED_AS_FIRST, ACCEPTED],
    "no answer": [],
    "no LDAP": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "nested without end": [b"\x30\x84\x00\x00\x40\x00" + b"\x30\x80" * 8192],
}


# The beginning of an answer of two gigabytes, and bytes that go on and on.
ENDLESS = bytes.fromhex("30847fffffff0201017884")


@pytest.mark.parametrize("pause", [0, 0.2], ids=["fast", "slow"])
def test_an_answer_without_end(directory: Slapd, authority: Authority, pause: float) -> None:
    sent = 0

    def send() -> None:
        nonlocal sent
        connection, _ = server.accept()
        with connection:
            connection.sendall(ENDLESS)
            while True:
                try:
                    sent += connection.send(b"\0" * (1 if pause else 65536))
                except OSError:
                    return
                time.sleep(pause)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=send)
        thread.start()
        url = f"ldap://127.0.0.1:{server.getsockname()[1]}"
        options = options_of(with_defaults(searching(directory, authority, url=[url], timeout=1)))
        with pytest.raises(DirectoryError):
            people.verify(options, "alice", PASSWORDS["alice"])
        thread.join()
    assert sent < 2**26


@contextmanager
def man_in_the_middle(answers: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives one answer after the other, whatever it is asked. Yield its address, and what it is told."""
    told: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(20)
                for answer in [*answers, None]:
                    try:
                        told.append(connection.recv(65536))
                        if answer is None:
                            return
                        connection.sendall(answer)
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"ldap://127.0.0.1:{server.getsockname()[1]}", told
        thread.join()


@pytest.mark.parametrize("answers", STRIPPED.values(), ids=STRIPPED)
@pytest.mark.parametrize("make", MODES.values(), ids=MODES)
def test_encryption_that_is_taken_away(
    directory: Slapd, authority: Authority, make: Any, answers: list[bytes]
) -> None:
    with man_in_the_middle(answers) as (url, told):
        options = options_of(with_defaults(make(directory, authority, url=[url], timeout=2)))
        with pytest.raises(DirectoryError):
            people.verify(options, "alice", PASSWORDS["alice"])
    heard = b"".join(told)
    assert heard
    assert PASSWORDS["alice"].encode() not in heard
    assert READER_PASSWORD.encode() not in heard


@pytest.mark.parametrize("make", MODES.values(), ids=MODES)
def test_clear_text_only_if_it_is_asked_for(
    directory: Slapd, authority: Authority, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    options = options_of(with_defaults(make(directory, authority, start_tls=False)))
    assert people.verify(options, "alice", PASSWORDS["alice"])
    with caplog.at_level(logging.WARNING, "dservercore"):
        warn_of_clear_text(options)
    assert "DSERVER_LDAP_START_TLS" in caplog.text


# A directory that is away


def test_a_directory_that_is_away(directory: Slapd, authority: Authority) -> None:
    nowhere = f"ldap://127.0.0.1:{free_port()}"
    options = options_of(with_defaults(searching(directory, authority, url=[nowhere])))
    with pytest.raises(DirectoryError) as failure:
        people.verify(options, "alice", PASSWORDS["alice"])
    assert nowhere in failure.value.reason
    assert "127.0.0.1" not in failure.value.message


def test_another_server_is_asked_instead(directory: Slapd, authority: Authority) -> None:
    urls = [f"ldap://127.0.0.1:{free_port()}", f"ldaps://127.0.0.1:{free_port()}", directory.url]
    options = options_of(with_defaults(searching(directory, authority, url=urls)))
    assert people.verify(options, "alice", PASSWORDS["alice"])


def test_a_directory_that_hangs(authority: Authority, tmp_path: Path) -> None:
    server = new_directory(tmp_path / "directory", authority)
    server.start()
    try:
        options = options_of(with_defaults(searching(server, authority, timeout=1)))
        server.freeze()
        with pytest.raises(DirectoryError):
            people.verify(options, "alice", PASSWORDS["alice"])
        server.thaw()
        assert people.verify(options, "alice", PASSWORDS["alice"])
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bind_password": WRONG}, "DSERVER_LDAP_BIND_DN"),
        ({"base_dn": f"ou=nowhere,{SUFFIX}"}, "noSuchObject"),
        ({"group_base_dn": f"ou=nowhere,{SUFFIX}"}, "noSuchObject"),
        ({"username_attribute": "employeeNumber"}, "0 values of employeeNumber"),
    ],
)
def test_what_only_an_administrator_can_mend(by_search: Any, changes: dict[str, str], reason: str) -> None:
    with pytest.raises(DirectoryError) as failure:
        people.verify(by_search(**changes), "alice", PASSWORDS["alice"])
    assert reason in failure.value.reason
    assert WRONG not in failure.value.reason


# Keys and groups


def found_by(options: Options, name: str) -> External:
    found = people.verify(options, name, PASSWORDS[name])
    assert found is not None
    return found


def test_the_key_outlives_the_name(by_search: Any, directory: Slapd) -> None:
    before = found_by(by_search(), "{dn}")
    rename = "dn: {}\nchangetype: modrdn\nnewrdn: uid={}\ndeleteoldrdn: 1\n"
    directory.modify(rename.format(dn_of("{dn}"), "renamed"))
    after = people.verify(by_search(), "renamed", PASSWORDS["{dn}"])
    directory.modify(rename.format(dn_of("renamed"), "{dn}"))
    assert after is not None
    assert (after.username, after.key) == ("renamed", before.key)


def test_without_a_key_the_distinguished_name_is_one(by_search: Any) -> None:
    assert found_by(by_search(key_attribute="objectGUID"), "alice").key == dn_of("alice")


def test_a_key_that_is_no_text(by_search: Any, directory: Slapd) -> None:
    change = f"dn: {dn_of('Carol')}\nchangetype: modify\nreplace: jpegPhoto\njpegPhoto:: /wD+gAECAwQFBgcICQoLDA==\n"
    directory.modify(change)
    assert found_by(by_search(key_attribute="jpegPhoto"), "Carol").key == "ff00fe800102030405060708090a0b0c"


def test_groups_are_searched(by_search: Any) -> None:
    options = by_search(group_base_dn=GROUPS)
    assert found_by(options, "alice").groups == {"imaging"}
    assert found_by(options, "Carol").groups == {"Admins, all"}
    assert found_by(options, "star*").groups == {"imaging"}
    assert found_by(options, "höhne").groups == set()


def test_groups_of_those_who_bind(directory: Slapd, authority: Authority) -> None:
    options = options_of(with_defaults(binding(directory, authority, group_base_dn=GROUPS)))
    assert found_by(options, "alice").groups == {"imaging"}


def test_groups_that_users_say(by_search: Any) -> None:
    options = by_search(group_base_dn=GROUPS, member_of="memberOf")
    assert found_by(options, "alice").groups == {"imaging"}  # and not the admins of elsewhere
    assert found_by(options, "höhne").groups == set()
    both = by_search(group_base_dn=SUFFIX.upper(), member_of="memberOf")
    assert found_by(both, "alice").groups == {"imaging", "admins"}


def test_a_name_in_the_filter_of_groups_is_one_value(by_search: Any) -> None:
    options = by_search(group_base_dn=GROUPS, group_filter="(cn={username})")
    assert found_by(options, "star*").groups == set()
    directory_admins = by_search(group_base_dn=GROUPS, group_filter="(&(member={dn})(!(cn={username})))")
    assert found_by(directory_admins, "alice").groups == {"imaging"}


# Settings

MISTAKES: list[tuple[str, dict[str, Any]]] = [
    ("URL", {"url": "directory.example.org"}),
    ("URL", {"url": "https://directory.example.org"}),
    ("URL", {"url": "ldap://user:tell-nobody@directory.example.org"}),
    ("URL", {"url": "ldap://directory.example.org:99999"}),
    ("URL", {"url": "ldap://directory.example.org/dc=example"}),
    ("URL", {"url": "ldapi:///var/run/slapd"}),
    ("START_TLS", {"start_tls": "maybe"}),
    ("CA_FILE", {"ca_file": "/nowhere/at/all.pem"}),
    ("CA_FILE", {"ca_file": __file__}),
    ("BASE_DN", {"base_dn": ""}),
    ("BASE_DN", {"user_dn": f"uid={{username}},{PEOPLE}"}),
    ("BASE_DN", {"base_dn": "people"}),
    ("USER_DN", {"base_dn": "", "bind_dn": "", "bind_password": "", "user_dn": PEOPLE}),
    ("USER_DN", {"base_dn": "", "bind_dn": "", "bind_password": "", "user_dn": "{username}"}),
    ("USER_DN", {"base_dn": "", "bind_dn": "", "bind_password": "", "user_dn": "{username}@example.org"}),
    ("BIND_DN", {"base_dn": "", "user_dn": f"uid={{username}},{PEOPLE}"}),
    ("BIND_DN", {"bind_dn": "somebody"}),
    ("BIND_PASSWORD", {"bind_dn": ""}),
    ("USER_FILTER", {"user_filter": "uid={username}"}),
    ("USER_FILTER", {"user_filter": "(uid=alice)"}),
    ("USER_FILTER", {"user_filter": "(&(uid={username})"}),
    ("USER_FILTER", {"user_filter": "(uid={name})"}),
    ("USER_FILTER", {"user_filter": "({username})"}),
    ("USERNAME_ATTRIBUTE", {"username_attribute": ""}),
    ("KEY_ATTRIBUTE", {"key_attribute": "entry UUID"}),
    ("GROUP_BASE_DN", {"group_base_dn": "groups"}),
    ("GROUP_BASE_DN", {"admin_groups": "admins"}),
    ("GROUP_BASE_DN", {"admits": "group", "admitted_groups": "staff"}),
    ("GROUP_BASE_DN", {"member_of": "memberOf"}),
    ("GROUP_FILTER", {"group_base_dn": GROUPS, "group_filter": "(member=)"}),
    ("GROUP_FILTER", {"group_base_dn": GROUPS, "group_filter": "(member={user})"}),
    ("ADMITS", {"admits": "everybody"}),
    ("ADMITTED_GROUPS", {"admits": "group", "group_base_dn": GROUPS}),
    ("TIMEOUT", {"timeout": "0"}),
    ("TIMEOUT", {"timeout": "1h"}),
]


@pytest.mark.parametrize(("name", "changes"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake(directory: Slapd, authority: Authority, name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as mistake:
        options_of(with_defaults(searching(directory, authority, **changes)))
    assert re.match(f"DSERVER_LDAP_{name}[:=]", mistake.value.message), mistake.value.message
    assert "\n" not in mistake.value.message
    assert READER_PASSWORD not in mistake.value.message
    assert "tell-nobody" not in mistake.value.message


def test_without_the_extra() -> None:
    program = """
import sys
sys.modules["ldap3"] = None  # as if it were not installed
from dservercore import create_app
create_app({"SECRET_KEY": "for tests alone"})
try:
    create_app({"SECRET_KEY": "for tests alone", "DSERVER_LDAP_URL": "ldaps://ldap.example.org"})
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    said = "DSERVER_LDAP_URL: the package ldap3 is not installed: pip install 'dservercore[ldap]'"
    assert (done.returncode, done.stdout) == (0, f"ConfigurationError {said}\n")
