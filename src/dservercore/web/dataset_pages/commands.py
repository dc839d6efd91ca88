"""Commands to copy, by which a dataset is fetched and read elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from dservercore.settings.external_url import external_url
from dservercore.web.texts import gettext

#: Packages that dtool needs beside itself, by the scheme of a URI.
_PACKAGES = {
    "s3": "dtool-s3",
    "ecs": "dtool-ecs",
    "azure": "dtool-azure",
    "irods": "dtool-irods",
    "smb": "dtool-smb",
    "http": "dtool-http",
    "https": "dtool-http",
}
_LOCAL = ("file", "symlink")

_PYTHON = """\
import dtoolcore

dataset = dtoolcore.DataSet.from_uri({uri!a})
for identifier in dataset.identifiers:
    relpath = dataset.item_properties(identifier)["relpath"]
    print(relpath, dataset.item_content_abspath(identifier))
"""


@dataclass(frozen=True)
class Command:
    """A command.

    :param title: what it does
    :param text: what is typed
    """

    title: str
    text: str


@dataclass(frozen=True)
class Commands:
    """All commands for a dataset.

    :param package: that is installed beside dtool for this kind of base URI; None: none is known, or needed
    :param host: where alone they work; None: wherever the base URI can be reached
    """

    commands: list[Command]
    package: str | None
    host: str | None


def for_dataset(dataset: Mapping[str, Any], identifier: str | None) -> Commands:
    """Return the commands for a dataset.

    :param identifier: of one of its files, as an example; None: there is none
    """
    uri = dataset["uri"]
    parts = urlsplit(uri)
    quoted = shlex.quote(uri)
    commands = [
        Command(gettext("Copy the dataset into this directory"), f"dtool cp {quoted} ."),
        Command(gettext("List its files"), f"dtool ls {quoted}"),
    ]
    if identifier:
        fetch = f"dtool item fetch {quoted} {shlex.quote(identifier)}"
        commands.append(Command(gettext("Fetch one file, and print where it is now"), fetch))
    commands += [
        Command(gettext("Fetch all files in Python"), _PYTHON.format(uri=uri)),
        Command(gettext("Ask this server, with a token in the variable TOKEN"), _curl(uri)),
    ]
    host = parts.netloc if parts.scheme in _LOCAL else ""
    return Commands(commands, _PACKAGES.get(parts.scheme), host or None)


def _curl(uri: str) -> str:
    address = external_url(f"/uris/{quote(uri, safe='')}")
    return f'curl --header "Authorization: Bearer $TOKEN" {shlex.quote(address)}'
