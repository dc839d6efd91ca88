"""Who in a directory has a name and a password."""

from __future__ import annotations

import hashlib
import logging
import secrets
import unicodedata

from dservercore.auth.ldap import templates
from dservercore.auth.ldap.connections import Directory, DirectoryError, Entry, connected
from dservercore.auth.ldap.options import Options
from dservercore.catalog.external_users import External
from dservercore.db.usernames import canonical, key_of
from dservercore.models import SOURCE_KEY_LENGTH

logger = logging.getLogger(__name__)

SOURCE = "ldap"

# A mail address, which a filter may look for as well, has no more characters.
_MAX_NAME = 254
_MAX_PASSWORD = 1024
# So many groups of one user count; who is in more cannot sign in, rather than lose some of them.
_MAX_GROUPS = 1000


def verify(options: Options, username: str, password: str) -> External | None:
    """Return whom a directory knows by a name and a password; None if nobody, or if more than one has the name.

    Both cost as many questions, so that the time does not tell who is known.

    :raises DirectoryError: if the directory cannot be asked, or its answer cannot be used
    """
    if not is_name(username) or not 0 < len(password) <= _MAX_PASSWORD:
        return None
    with connected(options) as directory:
        if options.user_dn:
            dn = templates.filled_dn(options.user_dn, username)
            if not directory.accepts(dn, password):
                return None
            entry = directory.entry(dn, attributes(options))
            if entry is None:
                raise DirectoryError(f"{dn} may not read its own entry")
        else:
            sign_on(options, directory)
            entry = find(options, directory, username)
            if not directory.accepts(entry.dn if entry else _nobody(options), password) or entry is None:
                return None
            if options.group_base_dn and options.bind_dn:
                sign_on(options, directory)
        return external(options, directory, entry, username)


def is_name(username: str) -> bool:
    """Return whether somebody may have a name: characters that are seen, and none for which there is another form.

    Directories take such forms for the same name. Attempts are counted by the name that was typed, and whoever guesses
    passwords would have many for each user.
    """
    if not 0 < len(username) <= _MAX_NAME or not username.isprintable():
        return False
    return canonical(username) == unicodedata.normalize("NFKC", " ".join(username.split()))


def sign_on(options: Options, directory: Directory) -> None:
    """Become the account that searches, if there is one.

    :raises DirectoryError: if the directory does not accept it
    """
    if options.bind_dn and not directory.accepts(options.bind_dn, options.bind_password):
        raise DirectoryError(
            f"name and password of {options.bind_dn} (DSERVER_LDAP_BIND_DN) are not accepted"
        )


def attributes(options: Options) -> list[str]:
    """Return the attributes of a user that are of use."""
    names = [
        options.username_attribute,
        options.display_name_attribute,
        options.key_attribute,
        options.member_of,
    ]
    return list(dict.fromkeys(name for name in names if name))


def find(options: Options, directory: Directory, username: str) -> Entry | None:
    """Return the one entry that a name means; None if there is none, or more than one.

    :raises DirectoryError: if the directory cannot be asked
    """
    text = templates.filled_filter(options.user_filter, {"username": username})
    found = directory.search(options.base_dn, text, attributes(options), limit=2)
    if len(found) > 1:
        logger.warning("DSERVER_LDAP_USER_FILTER finds more than one entry for a name: nobody signs in by it")
    return found[0] if len(found) == 1 and found[0].dn else None


def external(options: Options, directory: Directory, entry: Entry, username: str) -> External:
    """Return what a directory says about one of its users.

    :param username: the name that was typed, of which the directory may have another spelling
    :raises DirectoryError: if the entry has no name, or groups cannot be read
    """
    names = entry.texts(options.username_attribute)
    same = [name for name in names if key_of(name) == key_of(username)]
    if not same and len(names) != 1:
        raise DirectoryError(f"{entry.dn} has {len(names)} values of {options.username_attribute}, not one")
    display_names = entry.texts(options.display_name_attribute) if options.display_name_attribute else []
    return External(
        source=SOURCE,
        key=_key_of(options, entry),
        username=(same or names)[0],
        display_name=display_names[0] if display_names else None,
        groups=_groups_of(options, directory, entry, (same or names)[0]),
    )


def _nobody(options: Options) -> str:
    """Return the name of an entry that there is not, which is refused as a wrong password is."""
    return f"cn={secrets.token_hex(16)},{options.base_dn}"


def _key_of(options: Options, entry: Entry) -> str:
    """Return what stays the same of an entry: text as it is, anything else in hexadecimal digits."""
    values = entry.attributes.get(options.key_attribute.lower(), ())
    if len(values) != 1:
        return _short(entry.dn)
    try:
        text = values[0].decode()
    except UnicodeDecodeError:
        return _short(values[0].hex())
    return _short(text if text.isprintable() else values[0].hex())


def _short(key: str) -> str:
    if len(key) <= SOURCE_KEY_LENGTH:
        return key
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _groups_of(options: Options, directory: Directory, entry: Entry, username: str) -> frozenset[str] | None:
    """Return the names of the groups that count; None if none do."""
    if not options.group_base_dn:
        return None
    if options.member_of:
        groups = [
            dn for dn in entry.texts(options.member_of) if templates.is_below(dn, options.group_base_dn)
        ]
        return frozenset(name for dn in groups if (name := templates.name_in(dn)))
    text = templates.filled_filter(options.group_filter, {"dn": entry.dn, "username": username})
    found = directory.search(
        options.group_base_dn, text, [options.group_name_attribute], limit=_MAX_GROUPS + 1
    )
    if len(found) > _MAX_GROUPS:
        raise DirectoryError(f"{entry.dn} is in more than {_MAX_GROUPS} groups")
    return frozenset(name for group in found for name in group.texts(options.group_name_attribute))
