"""Datasets in directories of this machine, as dtool lays them out there: found, looked at, read and edited.

dtoolcore puts the same questions to any kind of storage, and follows every link. Here each directory is opened from
the one above it (see ``stored_files``), which is faster as well.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dtoolcore.utils import timestamp

from dservercore.catalog.storage_limits import Limit, Limits, annotations_within, parsed
from dservercore.catalog.stored_files import Directory, identities
from dservercore.dataset_info import document_of_parts

_DTOOL, _ADMIN, _MANIFEST, _README = ".dtool", "dtool", "manifest.json", "README.yml"
_ANNOTATIONS, _TAGS = "annotations", "tags"
_OF_THE_FILE_SYSTEM = "lost+found"  # at the top of a disk, for root alone


class DiskBase:
    """The datasets in a directory.

    :param base_uri: its URI, as it is registered
    :param path: where it is
    :param registered: other directories that are registered: below one of them no link is followed on the way
    :param private: files and folders of the server, which are never read
    :raises OSError: if it cannot be opened
    :raises UnreadableError: if there is a link on the way that the administrator has not registered
    """

    def __init__(
        self,
        base_uri: str,
        path: str,
        limits: Limits,
        registered: Sequence[str] = (),
        private: Sequence[Path] = (),
    ) -> None:
        self._base_uri, self._limits = base_uri, limits
        self._directory = _opened(path, registered, private)

    def list_uris(self) -> list[str]:
        """Return the URIs of the datasets, frozen or not, and of what only looks like one, in no order.

        A link to a dataset, a dataset whose administrative metadata is a link or a pipe, and a directory that may not
        be entered are among them: opening it tells what is wrong.

        :raises OSError: if the directory cannot be listed
        """
        names = self._directory.names()
        return [f"{self._base_uri}/{name}" for name in names if self._has_metadata(name)]

    def _has_metadata(self, name: str) -> bool:
        try:
            self._directory.status(f"{name}/{_DTOOL}/{_ADMIN}")
            return True
        except PermissionError:
            return name != _OF_THE_FILE_SYSTEM
        except OSError:
            pass
        try:
            return stat.S_ISLNK(self._directory.status(f"{name}/{_DTOOL}").st_mode)
        except OSError:
            return False

    def is_gone(self, uri: str) -> bool:
        """Return whether there is certainly no dataset at *uri*.

        :raises OSError: if it cannot be looked at
        :raises UnreadableError: if there is a link
        """
        try:
            # dtoolcore takes a folder that it may not enter for one without a dataset.
            self._dataset(uri).directory(_DTOOL).status(_ADMIN)
        except (FileNotFoundError, NotADirectoryError):
            return True
        return False

    def fingerprint(self, uri: str) -> str:
        """Return a digest of names, sizes and modification times of a dataset's metadata files.

        :raises OSError: if they cannot be looked at
        :raises UnreadableError: if there is a link to a directory, or are more files than are read
        """
        dataset = self._dataset(uri)
        try:
            dtool = dataset.directory(_DTOOL)
        except (FileNotFoundError, NotADirectoryError):
            dtool = None
        looks = [
            _look(dtool, _ADMIN, "/.dtool/"),
            _look(dtool, _MANIFEST, "/.dtool/"),
            _look(dataset, _README, "/"),
        ]
        if dtool:
            for folder, most in ((_ANNOTATIONS, self._limits.annotations), (_TAGS, self._limits.tags)):
                files = sorted(dtool.looked_at(folder, most))
                looks += [(f"/.dtool/{folder}/{name}", size, time) for name, size, time in files]
        return hashlib.blake2b(repr(looks).encode(), digest_size=20).hexdigest()

    def open_readable(self, uri: str) -> DiskDataset:
        """Return the dataset that is stored at *uri*, of which the administrative metadata has been read.

        :raises FileNotFoundError: if there is none
        :raises OSError, ValueError: if its administrative metadata cannot be read
        """
        with _told(uri):
            return DiskDataset(self._dataset(uri), uri, self._limits)

    open_editable = open_readable

    def in_time(self, work: Callable[[], None]) -> None:
        """Do *work* with one dataset: a disk answers."""
        work()

    def _dataset(self, uri: str) -> Directory:
        directory = self._directory
        with _told(uri):
            for name in uri.removeprefix(f"{self._base_uri}/").split("/"):
                directory = directory.dataset(name)
        return directory


@contextmanager
def _told(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"no dataset is stored as {uri}") from None


def _opened(path: str, registered: Sequence[str], private: Sequence[Path]) -> Directory:
    """Return a base directory: links on the way are followed up to the outermost that is registered, and none below.

    Whoever may write into that one could otherwise make a base directory inside of it lead to any other.
    """
    # First as the system goes there: that mounts whatever is mounted when somebody comes by.
    directory = Directory.opened(path, private)
    others = identities(place for place in registered if place != path)
    return Directory.reached(path, others, private) if others else directory


def _look(directory: Directory | None, name: str, place: str) -> tuple[str, int, int]:
    try:
        if directory:
            status = directory.status(name)
            return place + name, status.st_size, status.st_mtime_ns
    except FileNotFoundError:
        pass  # not frozen, or broken: reading it will tell
    return place + name, -1, -1


class DiskDataset:
    """The dataset in a directory, of which only the administrative metadata has been read.

    Its methods raise OSError or ValueError (as UnreadableError, UnicodeDecodeError) if a file cannot be read or
    written.
    """

    def __init__(self, directory: Directory, uri: str, limits: Limits) -> None:
        self._directory, self._uri, self._limits = directory, uri, limits
        self._dtool = directory.directory(_DTOOL)
        self.admin_metadata: dict[str, Any] = self._json(self._dtool, _ADMIN, limits.admin)

    @property
    def name(self) -> str:
        return str(self.admin_metadata["name"])

    @property
    def uuid(self) -> str:
        return str(self.admin_metadata["uuid"])

    def document(self, base_uri: str) -> dict[str, Any]:
        """Return what a registration takes; see ``dataset_info.generate_dataset_info``.

        :raises KeyError, TypeError, AttributeError: if the metadata is not as dtool writes it
        """
        return document_of_parts(
            self.admin_metadata,
            self._uri,
            base_uri,
            manifest=self._json(self._dtool, _MANIFEST, self._limits.manifest),
            readme=self.get_readme_content(),
            annotations=self.get_annotations(),
            tags=self.list_tags(),
        )

    def get_readme_content(self) -> str:
        """Return the README."""
        return self._directory.read(_README, self._limits.readme)

    def get_annotations(self) -> dict[str, Any]:
        """Return the annotations by name, which together are no larger than one may be."""
        files = self._dtool.listed(_ANNOTATIONS, self._limits.annotations)
        if not files:
            return {}
        folder = self._dtool.directory(_ANNOTATIONS)
        # dtoolcore takes whatever ending off, and reads the file that ends in .json.
        names = sorted(os.path.splitext(file)[0] for file in files)
        return annotations_within(
            self._limits.annotation,
            names,
            read=lambda name, limit: folder.read(f"{name}.json", limit),
            path_of=lambda name: f"{folder.path}/{name}.json",
        )

    def list_tags(self) -> list[str]:
        """Return the tags, in no order."""
        return self._dtool.listed(_TAGS, self._limits.tags)

    def check_edits(self) -> None:
        """Pass if all that an edit could touch is made of regular files in directories."""
        self.get_readme_content()
        self.list_tags()
        self._dtool.listed(_ANNOTATIONS, self._limits.annotations)

    def put_readme(self, content: str) -> None:
        """Replace the README, of which a copy is kept beside it, as dtool does."""
        before = self.get_readme_content()
        copy = f"{_README}-{timestamp(datetime.datetime.now())}"
        self._directory.write(copy, before, self._directory, like=_README)
        self._directory.write(_README, content, self._directory)

    def put_tag(self, tag: str) -> None:
        """Add a tag."""
        self._dtool.made(_TAGS).write(tag, "", self._dtool)

    def delete_tag(self, tag: str) -> None:
        """Remove a tag, if it is there."""
        self._dtool.made(_TAGS).remove(tag)

    def put_annotation(self, name: str, value: Any) -> None:
        """Set one annotation."""
        folder, text = self._dtool.made(_ANNOTATIONS), json.dumps(value, indent=2)
        if len(text) > self._limits.annotation.size:  # it would not be read again
            raise self._limits.annotation.error(f"{folder.path}/{name}.json")
        folder.write(f"{name}.json", text, self._dtool)

    def delete_annotation(self, name: str) -> None:
        """Remove one annotation, if it is there."""
        self._dtool.made(_ANNOTATIONS).remove(f"{name}.json")

    def _json(self, directory: Directory, name: str, limit: Limit) -> Any:
        return parsed(directory.read(name, limit), f"{directory.path}/{name}")
