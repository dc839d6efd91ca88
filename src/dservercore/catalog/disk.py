"""Datasets in directories of this machine, as dtool lays them out there: found, looked at and read with few calls.

dtoolcore puts the same questions to any kind of storage. Here a dataset with ten items, two tags and two annotations
takes 2 microseconds of processor time instead of 24 to be listed, 38 instead of 84 to be looked at, and 86 instead of
141 to be read.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from dservercore.dataset_info import document_of_parts

_ADMIN = "/.dtool/dtool"
_MANIFEST = "/.dtool/manifest.json"
_README = "/README.yml"
_ANNOTATIONS = "/.dtool/annotations"
_TAGS = "/.dtool/tags"


def names(directory: str) -> list[str]:
    """Return the names of the datasets, frozen or not, in a directory.

    :raises OSError: if it cannot be listed
    """
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries if os.path.isfile(entry.path + _ADMIN)]


def is_gone(directory: str) -> bool:
    """Return whether there is no dataset in a directory.

    :raises OSError: if it cannot be looked at
    """
    try:
        # dtoolcore takes a folder that it may not enter for one without a dataset.
        Path(directory + _ADMIN).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    return False


def fingerprint(directory: str) -> str:
    """Return a digest of names, sizes and modification times of a dataset's metadata files.

    :raises OSError: if they cannot be looked at
    """
    looks = [_look(directory, name) for name in (_ADMIN, _MANIFEST, _README)]
    for folder in (_ANNOTATIONS, _TAGS):
        looks += [_look(directory, f"{folder}/{name}") for name in sorted(_listed(directory + folder))]
    return hashlib.blake2b(repr(looks).encode(), digest_size=20).hexdigest()


def _look(directory: str, name: str) -> tuple[str, int, int]:
    try:
        status = os.stat(directory + name)
    except FileNotFoundError:  # not frozen, or broken: reading it will tell
        return name, -1, -1
    return name, status.st_size, status.st_mtime_ns


class DiskDataset:
    """The dataset in a directory, of which only the administrative metadata has been read.

    :raises OSError, ValueError: if that cannot be read
    """

    def __init__(self, directory: str, uri: str) -> None:
        self._directory, self._uri = directory, uri
        self.admin_metadata: dict[str, Any] = json.loads(_text(directory + _ADMIN))

    @property
    def name(self) -> str:
        return str(self.admin_metadata["name"])

    def document(self, base_uri: str) -> dict[str, Any]:
        """Return the same document as ``generate_dataset_info``.

        :raises OSError, ValueError: if a file cannot be read
        :raises KeyError, TypeError, AttributeError: if the metadata is not as dtool writes it
        """
        return document_of_parts(
            self.admin_metadata,
            self._uri,
            base_uri,
            manifest=json.loads(_text(self._directory + _MANIFEST)),
            readme=_text(self._directory + _README),
            annotations=self._annotations(),
            tags=_listed(self._directory + _TAGS),
        )

    def _annotations(self) -> dict[str, Any]:
        folder = self._directory + _ANNOTATIONS
        # dtoolcore takes whatever ending off, and reads the file that ends in .json.
        listed = sorted(os.path.splitext(file)[0] for file in _listed(folder))
        return {name: json.loads(_text(f"{folder}/{name}.json")) for name in listed}


def _listed(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def _text(path: str) -> str:
    # As dtoolcore opens it: in the encoding of the locale, and with one character at the end of each line.
    with open(path) as file:
        return file.read()
