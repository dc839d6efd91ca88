"""What works of a directory, and what does not, for whoever sets it up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dservercore.auth.ldap import people, templates
from dservercore.auth.ldap.connections import Directory, DirectoryError, Entry, connected
from dservercore.auth.ldap.options import Options
from dservercore.catalog.external_users import External


@dataclass(frozen=True)
class Step:
    """Something that was tried: what came of it, in one line."""

    is_well: bool
    text: str


def steps(options: Options, username: str | None = None, password: str | None = None) -> Iterator[Step]:
    """Try every server of a directory, then one of them with somebody's name. Yield each step as it is done.

    :param username: None: nobody in particular
    :param password: of that somebody; None: it is not tried
    """
    usable = None
    for url in options.urls:
        for step in _steps_of_server(options, url):
            yield step
        if step.is_well and usable is None:
            usable = url
    if username is None or usable is None:
        return
    try:
        with connected(options, usable) as directory:
            yield from _steps_of_user(options, directory, username, password)
    except DirectoryError as error:
        yield Step(False, error.reason)


def _steps_of_server(options: Options, url: str) -> Iterator[Step]:
    try:
        with connected(options, url) as directory:
            how = directory.encryption or "in clear text: everybody on the way can read passwords"
            yield Step(True, f"connected to {url}, {how}")
            people.sign_on(options, directory)
            if options.bind_dn:
                yield Step(True, f"{options.bind_dn} (DSERVER_LDAP_BIND_DN) is accepted")
            for setting, base in (("BASE_DN", options.base_dn), ("GROUP_BASE_DN", options.group_base_dn)):
                if base and (options.bind_dn or not options.user_dn):
                    is_there = directory.entry(base, ["objectClass"]) is not None
                    result = "is there" if is_there else "is not there, or must not be read"
                    yield Step(is_there, f"{base} (DSERVER_LDAP_{setting}) {result}")
    except DirectoryError as error:
        yield Step(False, error.reason)


def _steps_of_user(
    options: Options, directory: Directory, username: str, password: str | None
) -> Iterator[Step]:
    if not people.is_name(username):
        yield Step(
            False, f"{username!r} is no name: it has a space at an end, or a character that nobody sees"
        )
        return
    if options.user_dn:
        dn = templates.filled_dn(options.user_dn, username)
        yield Step(True, f"{username} is to be {dn}")
        if password is None:
            yield Step(True, "to see more, let the password be asked for: --password")
            return
        yield (accepted := _password_step(directory, dn, password))
        if not accepted.is_well:
            return
        entry = directory.entry(dn, people.attributes(options))
        if entry is None:
            yield Step(False, f"{dn} may not read its own entry, which has to be")
            return
    else:
        people.sign_on(options, directory)
        text = templates.filled_filter(options.user_filter, {"username": username})
        found = directory.search(options.base_dn, text, people.attributes(options), limit=2)
        if len(found) != 1:
            how_many = "more than one entry" if found else "nothing"
            yield Step(False, f"{text} finds {how_many} below {options.base_dn}")
            return
        entry = found[0]
        yield Step(True, f"{text} finds {entry.dn}")
        if password is not None:
            yield (accepted := _password_step(directory, entry.dn, password))
            if not accepted.is_well:
                return
            people.sign_on(options, directory)
    yield from _steps_of_entry(options, directory, entry, username)


def _password_step(directory: Directory, dn: str, password: str) -> Step:
    is_right = directory.accepts(dn, password)
    return Step(is_right, f"the password of {dn} is {'accepted' if is_right else 'not accepted'}")


def _steps_of_entry(options: Options, directory: Directory, entry: Entry, username: str) -> Iterator[Step]:
    person = people.external(options, directory, entry, username)
    yield Step(True, f"name ({options.username_attribute}): {person.username}")
    yield Step(True, f"display name: {person.display_name or 'none'}")
    has_key = len(entry.attributes.get(options.key_attribute.lower(), ())) == 1
    instead = "" if has_key else f" (there is no {options.key_attribute}: who is renamed is somebody else)"
    yield Step(True, f"key: {person.key}{instead}")
    if person.groups is None:
        yield Step(True, "groups: not looked for, as DSERVER_LDAP_GROUP_BASE_DN is not set")
    else:
        yield Step(True, f"groups: {', '.join(sorted(person.groups)) or 'none'}")
    yield _admission(options, person)


def _admission(options: Options, person: External) -> Step:
    policy, groups = options.policy, person.groups or frozenset()
    if policy.admits == "group" and not groups & policy.admitted:
        return Step(False, f"may not sign in: is in none of {', '.join(sorted(policy.admitted))}")
    if policy.admits == "known":
        return Step(True, "may sign in if registered here (DSERVER_LDAP_ADMITS=known)")
    is_admin = ", as an administrator" if groups & policy.admin_groups else ""
    return Step(True, f"may sign in{is_admin}")
