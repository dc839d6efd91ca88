"""A directory for tests: its people and groups, and the settings by which they sign in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.slapd import SUFFIX, Authority, Slapd, program

PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
READER_DN, READER_PASSWORD = f"cn=dserver,{SUFFIX}", "secret of the account"
WRONG = "not the password"

#: Names that users of a directory have, with a password that is theirs alone.
PASSWORDS = {
    "alice": "down the rabbit hole",
    "Carol": "a carol for christmas",
    "höhne": "über alle Maßen ½",
    "o,ou=neil": "comma and equals",
    "#hash": "hash in front",
    "star*": "a star behind",
    "a(b)c": "parentheses",
    "back\\slash": "back and forth",
    "{dn}": "curly ones",
    'a+b;c<d>e"f': "all the others",
}


def _escaped(name: str) -> str:
    return "".join(
        f"\\{byte:02x}" if byte > 126 or chr(byte) in ',=+<>;"\\#' else chr(byte) for byte in name.encode()
    )


def _entry(dn: str, *lines: str) -> str:
    return "\n".join([f"dn: {dn}", *lines, ""])


def _person(name: str, password: str | None, place: str = PEOPLE, *more: str) -> str:
    lines = ["objectClass: inetOrgPerson", f"cn: {name} of the directory", "sn: x", f"uid: {name}"]
    if password is not None:
        lines.append(f"userPassword: {password}")
    return _entry(f"uid={_escaped(name)},{place}", *lines, *more)


def _group(name: str, *members: str, place: str = GROUPS) -> str:
    return _entry(
        f"cn={_escaped(name)},{place}",
        "objectClass: groupOfNames",
        *(f"member: {member}" for member in members),
    )


def dn_of(name: str, place: str = PEOPLE) -> str:
    """Return the distinguished name of somebody."""
    return f"uid={_escaped(name)},{place}"


def ldif(referral: str = "ldap://127.0.0.1:9/") -> str:
    """Return the entries of the directory.

    :param referral: address of another directory, to which an entry refers
    """
    staff, elsewhere = f"ou=staff,{PEOPLE}", f"ou=elsewhere,{SUFFIX}"
    entries = [
        _entry(SUFFIX, "objectClass: dcObject", "objectClass: organization", "o: Example"),
        *(
            _entry(dn, "objectClass: organizationalUnit")
            for dn in (PEOPLE, staff, f"ou=guests,{PEOPLE}", GROUPS, elsewhere)
        ),
        _entry(
            READER_DN,
            "objectClass: organizationalRole",
            "objectClass: simpleSecurityObject",
            f"userPassword: {READER_PASSWORD}",
        ),
        *(
            _person(
                name, password, PEOPLE, f"memberOf: cn=imaging,{GROUPS}", f"memberOf: cn=admins,{elsewhere}"
            )
            if name == "alice"
            else _person(name, password)
            for name, password in PASSWORDS.items()
        ),
        _person("mallory", "evil", PEOPLE, "mail: alice@example.org"),
        _person("nopassword", None),
        _person("twin", "first of two", staff),
        _person("twin", "second of two", f"ou=guests,{PEOPLE}"),
        _entry(
            f"uid=afar,{PEOPLE}",
            "objectClass: referral",
            "objectClass: extensibleObject",
            "uid: afar",
            f"ref: {referral}uid=afar,{PEOPLE}",
        ),
        _group("imaging", dn_of("alice"), dn_of("star*")),
        _group("Admins, all", dn_of("Carol")),
        _group("admins", dn_of("mallory"), place=elsewhere),
    ]
    return "\n".join(entries)


def new_directory(folder: Path, authority: Authority, **certificate: Any) -> Slapd:
    """Return a directory that is not started, with a certificate of an authority."""
    folder.mkdir()
    authority.vouch(folder, **certificate)
    return Slapd(folder, ldif())


def searching(directory: Slapd, authority: Authority, **changes: Any) -> dict[str, Any]:
    """Return the settings by which users are searched."""
    return {
        "DSERVER_LDAP_URL": directory.url,
        "DSERVER_LDAP_CA_FILE": str(authority.file),
        "DSERVER_LDAP_BASE_DN": PEOPLE,
        "DSERVER_LDAP_BIND_DN": READER_DN,
        "DSERVER_LDAP_BIND_PASSWORD": READER_PASSWORD,
        "DSERVER_LDAP_ADMITS": "anyone",
        **{f"DSERVER_LDAP_{name.upper()}": value for name, value in changes.items()},
    }


def binding(directory: Slapd, authority: Authority, **changes: Any) -> dict[str, Any]:
    """Return the settings by which users are asked for themselves."""
    return {
        "DSERVER_LDAP_URL": directory.url,
        "DSERVER_LDAP_CA_FILE": str(authority.file),
        "DSERVER_LDAP_USER_DN": f"uid={{username}},{PEOPLE}",
        "DSERVER_LDAP_ADMITS": "anyone",
        **{f"DSERVER_LDAP_{name.upper()}": value for name, value in changes.items()},
    }


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whoever vouches for the certificates of directories."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[socket.socket]:
    """Another server, to which an entry of the directory refers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture(scope="session")
def directory(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, elsewhere: socket.socket
) -> Iterator[Slapd]:
    """A directory with all of its people, which must be left running and as it was."""
    try:
        program("slapd")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("directory")
    authority.vouch(folder)
    server = Slapd(folder, ldif(f"ldap://127.0.0.1:{elsewhere.getsockname()[1]}/"))
    server.start()
    yield server
    server.stop()
