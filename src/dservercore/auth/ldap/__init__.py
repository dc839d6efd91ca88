"""Signing in with the password of a directory (LDAP), such as OpenLDAP or Active Directory.

A directory is asked at each sign-in, over a connection of its own. What is in here but this module needs the extra
``ldap``; nothing else in the package knows the library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask

from dservercore.errors import ConfigurationError

if TYPE_CHECKING:
    from dservercore.auth.ldap.options import Options


def configured_options(config: Mapping[str, Any]) -> Options | None:
    """Return how a configuration has the directory asked; None if there is none.

    :raises ConfigurationError: in one line, naming the setting that is wrong
    """
    if not config["DSERVER_LDAP_URL"]:
        return None
    try:
        from dservercore.auth.ldap.options import options_of
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise ConfigurationError(
            f"DSERVER_LDAP_URL: the package {package} is not installed: pip install 'dservercore[ldap]'"
        ) from None
    return options_of(config)


def init_ldap(app: Flask) -> None:
    """Have users of an application sign in with the passwords of the directory, if it is configured to have one.

    :raises ConfigurationError: in one line, naming the setting that is wrong; not if the directory is away
    """
    options = configured_options(app.config)
    if options is None:
        return
    # The command line, which has the function above, starts sooner without these.
    from dservercore.auth.ldap.checker import DirectoryPasswords
    from dservercore.auth.passwords import password_checkers

    password_checkers(app).append(DirectoryPasswords(options))
