"""The directory as one of those who say whose a name and a password are."""

from __future__ import annotations

import logging

from dservercore.auth.ldap import people
from dservercore.auth.ldap.connections import DirectoryError
from dservercore.auth.ldap.options import Options, warn_of_clear_text
from dservercore.catalog import external_users
from dservercore.catalog.scope import acting

logger = logging.getLogger(__name__)


class DirectoryPasswords:
    """Knows the passwords of a directory."""

    means = people.SOURCE

    def __init__(self, options: Options):
        self._options = options
        warn_of_clear_text(options)

    def check(self, username: str, password: str) -> str | None:
        """Return the name of the user who has this name and password in the directory; None if nobody does.

        Whoever has them and may come is registered, and has the groups of the directory from now on. To be committed.

        :raises AuthenticationError: if the directory knows somebody who may not come
        :raises UnavailableError: if the directory cannot be asked
        """
        try:
            found = people.verify(self._options, username, password)
        except DirectoryError as error:
            logger.error("The directory is of no use: %s", error.reason)
            raise
        return external_users.welcome(found, self._options.policy, actor=acting()) if found else None
