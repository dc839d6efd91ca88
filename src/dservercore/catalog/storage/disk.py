"""Datasets in directories of this machine, as dtool lays them out there: found, looked at, read and edited.

dtoolcore puts the same questions to any kind of storage, and follows every link. Here each directory is opened from
the one above it (see ``stored_files``), which is faster as well.
"""

from __future__ import annotations

import datetime
import errno
import hashlib
import json
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dtoolcore.utils import timestamp

from dservercore.catalog.storage import dtool_names, stored_text
from dservercore.catalog.storage.storage_limits import (
    Limit,
    Limits,
    UnreadableError,
    annotations_within,
    parsed,
)
from dservercore.catalog.storage.stored_files import Directory, Files, identities
from dservercore.dataset.document import document_of_parts

_DTOOL, _ADMIN, _MANIFEST, _README = ".dtool", "dtool", "manifest.json", "README.yml"
_ANNOTATIONS, _OVERLAYS, _TAGS = "annotations", "overlays", "tags"
# Of the system, at the top of a disk or share, and often closed to everybody: no dataset is in there.
_OF_SYSTEMS = {
    *(
        "lost+found",
        "System Volume Information",
        "$RECYCLE.BIN",
        "RECYCLER",
        "@eaDir",
        "#recycle",
        "#snapshot",
    ),
    *(".snapshot", ".snapshots", ".zfs", ".Trashes", ".Spotlight-V100", ".fseventsd", ".TemporaryItems"),
    ".DocumentRevisions-V100",
}
_WASTE = ".Trash-"  # of a user


class DiskBase:
    """The datasets in a directory.

    :param base_uri: its URI, as it is registered
    :param path: where it is
    :param limits: on the files that are read
    :param registered: all directories that are base URIs: below one of them no link is followed on the way
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
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            if error.errno != errno.ELOOP:  # it may not be entered, or its disk does not answer
                return name not in _OF_SYSTEMS and not name.startswith(_WASTE)
        try:
            return stat.S_ISLNK(self._directory.status(f"{name}/{_DTOOL}").st_mode)
        except OSError:
            return False

    def why_not_listed(self) -> str | None:
        """Return that the directory is a dataset itself, if it is and holds none.

        :raises OSError: if the directory cannot be listed
        """
        with suppress(FileNotFoundError, NotADirectoryError):
            if not self.list_uris() and self._directory.status(f"{_DTOOL}/{_ADMIN}"):
                return "it is a dataset itself, and its base URI the directory above"
        return None

    def is_gone(self, uri: str) -> bool:
        """Return whether there is certainly no dataset at *uri*.

        :raises OSError: if it cannot be looked at
        :raises UnreadableError: if a link leads there
        """
        try:
            # dtoolcore takes a folder that it may not enter for one without a dataset.
            self.directory_of(uri).directory(_DTOOL).status(_ADMIN)
        except (FileNotFoundError, NotADirectoryError):
            return True
        return False

    def fingerprint(self, uri: str) -> str:
        """Return a digest of names, sizes and modification times of a dataset's metadata files.

        :raises OSError: if they cannot be looked at
        :raises UnreadableError: if there is a link to a directory, or are more files than are read
        """
        dataset = self.directory_of(uri)
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
            for folder, files in _annotations_and_tags(dtool, self._limits):
                own = sorted((name, status.st_size, status.st_mtime_ns) for name, status in files.own)
                looks += [(f"/.dtool/{folder}/{name}", size, time) for name, size, time in own]
        return hashlib.blake2b(repr(looks).encode(), digest_size=20).hexdigest()

    def changed_at(self, uri: str) -> float | None:
        """Return when a dataset's metadata was last changed: seconds since the epoch, by the clock of the disk.

        Copying files with their dates counts as a change, and removing one does.

        :raises OSError: if it cannot be looked at
        :raises UnreadableError: if there is a link to a directory, or are more files than are read
        """
        dataset = self.directory_of(uri)
        dtool = dataset.directory(_DTOOL)
        seen = [dataset.status(_README), dtool.status(_ADMIN), dtool.status(_MANIFEST)]
        for folder, files in _annotations_and_tags(dtool, self._limits):
            seen += [status for _, status in files.own]
            with suppress(FileNotFoundError):
                seen.append(dtool.status(folder))
        return max(max(status.st_mtime, status.st_ctime) for status in seen)

    def open_readable(self, uri: str) -> DiskDataset:
        """Return the dataset that is stored at *uri*, of which the administrative metadata has been read.

        :raises FileNotFoundError: if there is none
        :raises OSError, ValueError: if its administrative metadata cannot be read
        """
        with _told(uri):
            return DiskDataset(self.directory_of(uri), uri, self._limits)

    open_editable = open_readable

    def in_time(self, work: Callable[[], None]) -> None:
        """Call *work*, without a time limit: a disk answers."""
        work()

    def directory_of(self, uri: str) -> Directory:
        """Return the directory of a dataset.

        :raises FileNotFoundError: if there is none
        :raises UnreadableError: if a link leads there
        """
        directory = self._directory
        with _told(uri):
            for name in uri.removeprefix(f"{self._base_uri}/").split("/"):
                directory = directory.dataset(name)
        return directory

    def made_directory_of(self, uri: str) -> Directory:
        """Return the directory of a dataset, which is made if there is none.

        :raises OSError: if it cannot be made
        :raises UnreadableError: if a link has its name
        """
        name = uri.removeprefix(f"{self._base_uri}/")
        self._directory.made(name)
        return self._directory.dataset(name)

    def free_bytes(self) -> int:
        """Return how many bytes there is room for.

        :raises OSError: if nobody knows
        """
        return self._directory.free_bytes()

    def remove_directory_of(self, uri: str) -> None:
        """Remove the directory of a dataset, with all that is in it.

        :raises OSError: if something cannot be removed
        """
        self._directory.remove_directory(uri.removeprefix(f"{self._base_uri}/"))

    def overlay_names(self, uri: str) -> list[str]:
        """Return the names of the overlays of a dataset, in order; raises as :meth:`directory_of` does."""
        return self._names_in(uri, _OVERLAYS)

    def annotation_names(self, uri: str) -> list[str]:
        """Return the names of the annotations of a dataset, in order; raises as :meth:`directory_of` does."""
        return self._names_in(uri, _ANNOTATIONS)

    def _names_in(self, uri: str, folder: str) -> list[str]:
        dtool = self.directory_of(uri).directory(_DTOOL)
        files = dtool.files(folder, self._limits.annotations, _is_annotation_file)
        return sorted(name.removesuffix(".json") for name, _ in files.own)


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
    # First by the system's own way, which mounts what is mounted on demand.
    directory = Directory.opened(path, private)
    others = identities(place for place in registered if place != path)
    return Directory.reached(path, others, private) if others else directory


def _annotations_and_tags(dtool: Directory, limits: Limits) -> Iterator[tuple[str, Files]]:
    yield _ANNOTATIONS, dtool.files(_ANNOTATIONS, limits.annotations, _is_annotation_file)
    yield _TAGS, dtool.files(_TAGS, limits.tags, dtool_names.is_tag)


def _is_annotation_file(name: str, _size: int) -> bool:
    return dtool_names.annotation_of(name) is not None


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

    Its methods raise OSError or ValueError (as UnreadableError) if a file cannot be read or written.

    :ivar warnings: what is odd about it and was no reason not to read it
    """

    def __init__(self, directory: Directory, uri: str, limits: Limits) -> None:
        self._directory, self._uri, self._limits = directory, uri, limits
        self._dtool = directory.directory(_DTOOL)
        self.warnings: list[str] = []
        admin_metadata = self._json(self._dtool, _ADMIN, limits.admin)
        self.admin_metadata = stored_text.admin_metadata_of(admin_metadata, self.path_of(_ADMIN))

    @property
    def name(self) -> str:
        return str(self.admin_metadata["name"])

    @property
    def uuid(self) -> str:
        return str(self.admin_metadata["uuid"])

    def path_of(self, file: str) -> str:
        """Return where a file is, for messages."""
        return f"{(self._directory if file == _README else self._dtool).path}/{file}"

    def document(self, base_uri: str) -> dict[str, Any]:
        """Return the dataset's document, as a registration takes it, with *base_uri* as its base URI."""
        manifest = self._json(self._dtool, _MANIFEST, self._limits.manifest)
        return document_of_parts(
            self.admin_metadata,
            self._uri,
            base_uri,
            manifest=stored_text.manifest_of(manifest, self.path_of(_MANIFEST)),
            readme=self.get_readme_content(),
            annotations=self.get_annotations(),
            tags=self.list_tags(),
        )

    def get_readme_content(self) -> str:
        """Return the README."""
        content = self._directory.read(_README, self._limits.readme)
        return _in_lines(stored_text.decoded_readme(content, self.path_of(_README), self._warn))

    def get_annotations(self) -> dict[str, Any]:
        """Return the annotations by name, whose files together must not exceed the limit for one."""
        files = self._files(_ANNOTATIONS, self._limits.annotations, _is_annotation_file)
        if not files:
            return {}
        folder = self._dtool.directory(_ANNOTATIONS)
        return annotations_within(
            self._limits.annotation,
            sorted(name.removesuffix(".json") for name in files),
            read=lambda name, limit: self._text(folder, f"{name}.json", limit),
            path_of=lambda name: f"{folder.path}/{name}.json",
        )

    def list_tags(self) -> list[str]:
        """Return the tags, in no order."""
        return self._files(_TAGS, self._limits.tags, dtool_names.is_tag)

    def check_edits(self) -> None:
        """Pass if all that an edit could touch is made of regular files in directories."""
        self.get_readme_content()
        self.list_tags()
        self._files(_ANNOTATIONS, self._limits.annotations, _is_annotation_file)

    def put_readme(self, content: str) -> None:
        """Replace the README, of which a copy is kept beside it, as dtool does."""
        before = self._directory.read(_README, self._limits.readme)
        copy = f"{_README}-{timestamp(datetime.datetime.now())}"
        self._directory.write(copy, before, self._directory, like=_README)
        self._directory.write(_README, content.encode(), self._directory)

    def put_tag(self, tag: str) -> None:
        """Add a tag."""
        if not dtool_names.is_tag(tag):
            raise _not_read_again(f"the tag {tag}")
        self._dtool.made(_TAGS).write(tag, b"", self._dtool)

    def delete_tag(self, tag: str) -> None:
        """Remove a tag, if it is there."""
        self._dtool.made(_TAGS).remove(tag)

    def put_annotation(self, name: str, value: Any) -> None:
        """Set one annotation."""
        if not dtool_names.is_annotation(name):
            raise _not_read_again(f"the annotation {name}")
        folder, text = self._dtool.made(_ANNOTATIONS), json.dumps(value, indent=2)
        if len(text) > self._limits.annotation.size:  # it would not be read again
            raise self._limits.annotation.error(f"{folder.path}/{name}.json")
        folder.write(f"{name}.json", text.encode(), self._dtool)

    def delete_annotation(self, name: str) -> None:
        """Remove one annotation, if it is there."""
        self._dtool.made(_ANNOTATIONS).remove(f"{name}.json")

    def _files(self, folder: str, most: int, is_own: Callable[[str, int], bool]) -> list[str]:
        files = self._dtool.files(folder, most, is_own)
        for warning in dtool_names.foreign_files(self.path_of(folder), files.foreign):
            self._warn(warning)
        return [name for name, _ in files.own]

    def _json(self, directory: Directory, name: str, limit: Limit) -> Any:
        return parsed(self._text(directory, name, limit), f"{directory.path}/{name}")

    def _text(self, directory: Directory, name: str, limit: Limit) -> str:
        content = directory.read(name, limit)
        return _in_lines(stored_text.decoded(content, f"{directory.path}/{name}", self._warn))

    def _warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)


def _in_lines(text: str) -> str:
    """Return a text with one character at the end of each line, as dtoolcore reads it."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _not_read_again(what: str) -> UnreadableError:
    return UnreadableError(f"{what} has the name of a file that is left out when the dataset is read")
