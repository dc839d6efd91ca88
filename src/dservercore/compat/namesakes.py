"""Published extensions that do what a bundled one does: of the two, one is to be used."""

from __future__ import annotations

import re
from collections.abc import Collection

from dservercore.errors import ConfigurationError

#: By the name of a bundled extension, the distribution of the published one that does the same.
PUBLISHED = {
    "graph": "dserver-dependency-graph-plugin",
    "notification": "dserver-notification-plugin",
    "query": "dserver-direct-mongo-plugin",
    "signed_url": "dserver-signed-url-plugin",
}


def require_one_of_each(bundled: Collection[str], distributions: Collection[str]) -> None:
    """Pass if no bundled extension is used together with the published one that does the same.

    :param bundled: names of the bundled extensions in use
    :param distributions: names of the distributions that the other extensions in use come from
    :raises ConfigurationError: otherwise; it says which to drop
    """
    installed = {re.sub(r"[-_.]+", "-", name).lower() for name in distributions}
    for name in bundled:
        published = PUBLISHED.get(name)
        if published in installed:
            raise ConfigurationError(
                f"DSERVER_EXTENSIONS: the bundled extension {name} does what {published} does, which is installed:"
                f" run `pip uninstall {published}`, or drop {name} from DSERVER_EXTENSIONS"
            )
