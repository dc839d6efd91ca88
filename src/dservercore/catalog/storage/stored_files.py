"""The files of datasets on disk: opened, read and written so that no link, pipe or giant among them does harm.

Whoever can write into a base directory may put anything there, and change it at any moment. So every directory below
the base directory is opened from the one above it, without following a link, and what counts of a file is what was
opened, never what its path led to before.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dservercore.catalog.storage.storage_limits import Limit, UnreadableError

Identity = tuple[int, int]  # device and inode

_ABOVE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe waits for somebody who writes to it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_CHUNK = 2**20
_MAX_LINKS = 40  # on one way, as in Linux


class Files(NamedTuple):
    """The files in a folder: those that are wanted, with their status, and the names of what else lies there."""

    own: list[tuple[str, os.stat_result]]
    foreign: list[str]


class Directory:
    """An open directory, from which others are reached without following a link. Closed when nobody holds it.

    :ivar path: where it was when it was opened, for messages
    """

    __slots__ = ("_descriptor", "_private", "_top", "path")

    def __init__(self, descriptor: int, path: str, private: Sequence[Path], top: Directory | None) -> None:
        self._descriptor, self.path, self._private, self._top = descriptor, path, private, top

    def __del__(self) -> None:
        os.close(self._descriptor)

    @classmethod
    def opened(cls, path: str, private: Sequence[Path] = ()) -> Directory:
        """Return the directory at *path*, which may be reached through links.

        :param private: files and folders of the server, none of which is read even if it is linked to
        :raises OSError: if there is none
        """
        return cls(os.open(path or "/", _ABOVE), path, private, None)

    @classmethod
    def reached(cls, path: str, bounds: Set[Identity], private: Sequence[Path] = ()) -> Directory:
        """Return the directory at *path*. Links on the way are followed, but none inside of some directories.

        These are known by device and inode, because many paths may lead to one directory.

        :param path: absolute
        :param bounds: identities of the directories inside of which no link is followed
        :param private: files and folders of the server, none of which is read even if it is linked to
        :raises OSError: if there is none
        :raises UnreadableError: if a link that is not followed leads to it
        """
        directory = root = cls(os.open("/", _ABOVE), "", private, None)
        names, links = _names(path), 0
        is_inside = root._identity() in bounds
        while names:
            name = names.popleft()
            try:
                directory = directory._above() if name == ".." else directory.directory(name)
            except UnreadableError:
                links += 1
                if is_inside or links > _MAX_LINKS:
                    raise
                target = os.readlink(name, dir_fd=directory._descriptor)
                names.extendleft(reversed(_names(target)))
                directory = root if target.startswith("/") else directory
            is_inside = is_inside or directory._identity() in bounds
        directory._top = None
        return directory

    def directory(self, name: str) -> Directory:
        """Return the directory called *name* in this one.

        :raises OSError: if there is none
        :raises UnreadableError: if it is a link
        """
        return self._child(name, _ABOVE | os.O_NOFOLLOW)

    def dataset(self, name: str) -> Directory:
        """Return the directory called *name* in this one: a dataset, whose owner alone may have put hard links into it.

        :raises OSError: if there is none
        :raises UnreadableError: if it is a link
        """
        child = self.directory(name)
        child._top = None
        return child

    def files(self, name: str, most: int, is_own: Callable[[str, int], bool]) -> Files:
        """Return the files in the directory called *name* in this one; none if there is none.

        :param most: how many are read; all that is there counts
        :param is_own: whether a file of this name and size is wanted. All others, of whatever kind, and directories are
            foreign, and are not opened.
        :raises OSError: if it cannot be listed
        :raises UnreadableError: if it is a link, has a wanted name for what is no regular file, or more than *most*
            files
        """
        try:
            child = self._child(name, _LISTED)
        except (FileNotFoundError, NotADirectoryError):
            return Files([], [])
        files = Files([], [])
        with os.scandir(child._descriptor) as entries:  # which ask through the descriptor: it must be open
            for number, entry in enumerate(entries):
                if number == most:
                    raise UnreadableError(f"{child.path} holds more than the {most:,} files that are read")
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # removed at this moment
                    continue
                if not is_own(entry.name, 0) or stat.S_ISDIR(status.st_mode):
                    files.foreign.append(entry.name)
                elif not stat.S_ISREG(status.st_mode):
                    raise _no_file(f"{child.path}/{entry.name}", status)
                elif is_own(entry.name, status.st_size):
                    files.own.append((entry.name, status))
                else:
                    files.foreign.append(entry.name)
        return files

    def names(self) -> list[str]:
        """Return the names of everything in this directory.

        :raises OSError: if it cannot be listed
        """
        try:
            descriptor = os.open(".", _LISTED, dir_fd=self._descriptor)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from None
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)

    def status(self, path: str) -> os.stat_result:
        """Return size, times and kind of what is at *path* below this directory, and of a link itself.

        :raises OSError: if there is nothing
        """
        try:
            return os.stat(path, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{self.path}/{path}") from None

    def read(self, name: str, limit: Limit) -> bytes:
        """Return the content of the file called *name* in this directory.

        :raises OSError: if it cannot be read
        :raises UnreadableError: if it is no regular file, larger than *limit*, or the server's own
        """
        path = f"{self.path}/{name}"
        descriptor = self.open_file(name)
        try:
            return _content(descriptor, os.fstat(descriptor).st_size, limit, path)
        finally:
            os.close(descriptor)

    def open_file(self, name: str) -> int:
        """Return a descriptor by which the file called *name* in this directory can be read, to be closed.

        :raises OSError: if it cannot be opened
        :raises UnreadableError: if it is no regular file, or the server's own
        """
        path = f"{self.path}/{name}"
        self._regular_file(name)  # opening some devices has an effect: so no device is opened
        descriptor = self._open(name, _READ, path)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _no_file(path, status)
            if status.st_nlink > 1:
                self._check_owner(path, status)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def write(self, name: str, content: bytes, scratch: Directory, like: str | None = None) -> None:
        """Make *content* what the file called *name* in this directory holds, at once.

        It keeps its permissions, and its owner where the server may give files away.

        :param scratch: directory in which the new file is made, before it gets its name; on the same file system
        :param like: name of a file of this directory whose permissions and owner a new file gets
        :raises OSError: if it cannot be written
        :raises UnreadableError: if what is there is no regular file
        """
        before = self._regular_file(name) or (self._regular_file(like) if like else None)
        mode = 0o600 if before else 0o666  # nobody else is to look before it has its permissions
        new = f".dserver-{secrets.token_hex(8)}"
        try:
            descriptor = os.open(new, _NEW, mode, dir_fd=scratch._descriptor)
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{self.path}/{name}") from None
        try:
            with open(descriptor, "wb") as file:
                if before:
                    with suppress(PermissionError):
                        os.fchown(descriptor, before.st_uid, before.st_gid)
                    os.fchmod(descriptor, before.st_mode & 0o777)
                file.write(content)
            os.rename(new, name, src_dir_fd=scratch._descriptor, dst_dir_fd=self._descriptor)
        except BaseException:
            with suppress(OSError):
                os.unlink(new, dir_fd=scratch._descriptor)
            raise

    def remove(self, name: str) -> None:
        """Remove the file called *name* from this directory, if it is there.

        :raises OSError: if it cannot be removed
        """
        with suppress(FileNotFoundError):
            os.unlink(_checked(name), dir_fd=self._descriptor)

    def new_file(self, name: str) -> int:
        """Return a descriptor by which a new file called *name* in this directory can be written, to be closed.

        :raises FileExistsError: if something has that name
        :raises OSError: if it cannot be made
        """
        try:
            return os.open(_checked(name), _NEW, 0o666, dir_fd=self._descriptor)
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{self.path}/{name}") from None

    def move(self, name: str, folder: Directory, new_name: str) -> None:
        """Give the file called *name* in this directory another place, and name; what has that name is replaced.

        :raises OSError: if it cannot be moved
        """
        try:
            os.rename(
                _checked(name),
                _checked(new_name),
                src_dir_fd=self._descriptor,
                dst_dir_fd=folder._descriptor,
            )
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{folder.path}/{new_name}") from None

    def set_time(self, name: str, moment: float) -> None:
        """Say of the file called *name* in this directory when it was last changed, where that can be said.

        :param moment: seconds since the epoch, UTC
        """
        with suppress(OSError, OverflowError, ValueError):
            os.utime(_checked(name), (moment, moment), dir_fd=self._descriptor, follow_symlinks=False)

    def relpaths(self, most: int) -> Iterator[str]:
        """Yield the paths of all that is below this directory and is no directory, in no order.

        :param most: how many files and directories are looked at
        :raises OSError: if a directory cannot be listed
        :raises UnreadableError: if there are more
        """
        waiting, number = deque([("", self)]), 0
        while waiting:
            above, folder = waiting.pop()
            for name in folder.names():
                number += 1
                if number > most:
                    raise UnreadableError(f"{self.path} holds more than the {most:,} files that are expected")
                if stat.S_ISDIR(folder.status(name).st_mode):
                    waiting.append((f"{above}{name}/", folder.directory(name)))
                else:
                    yield f"{above}{name}"

    def remove_directory(self, name: str) -> None:
        """Remove the directory called *name* from this one, with all that is in it. No link is followed.

        :raises OSError: if something cannot be removed
        """
        folder = self.directory(name)
        for inner in folder.names():
            if stat.S_ISDIR(folder.status(inner).st_mode):
                folder.remove_directory(inner)
            else:
                folder.remove(inner)
        os.rmdir(name, dir_fd=self._descriptor)

    def sync(self) -> None:
        """Have the names in this directory outlive a loss of power.

        :raises OSError: if they cannot be written
        """
        descriptor = os.open(".", _LISTED, dir_fd=self._descriptor)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self) -> int:
        """Return how many bytes there is room for where this directory is."""
        descriptor = os.open(".", _LISTED, dir_fd=self._descriptor)
        try:
            room = os.fstatvfs(descriptor)
        finally:
            os.close(descriptor)
        return room.f_bavail * room.f_frsize

    def made(self, name: str) -> Directory:
        """Return the directory called *name* in this one, which is made if it is not there.

        :raises OSError: if it cannot be made
        :raises UnreadableError: if a link has that name
        """
        try:
            os.mkdir(_checked(name), dir_fd=self._descriptor)
        except FileExistsError:
            pass
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{self.path}/{name}") from None
        return self.directory(name)

    def _identity(self) -> Identity:
        status = os.fstat(self._descriptor)
        return status.st_dev, status.st_ino

    def _above(self) -> Directory:
        descriptor = os.open("..", _ABOVE, dir_fd=self._descriptor)
        return Directory(descriptor, os.path.dirname(self.path), self._private, None)

    def _child(self, name: str, flags: int) -> Directory:
        path = f"{self.path}/{name}"
        return Directory(self._open(name, flags, path), path, self._private, self._top or self)

    def _open(self, name: str, flags: int, path: str) -> int:
        try:
            return os.open(_checked(name), flags, dir_fd=self._descriptor)
        except OSError as error:
            # What opening a link is answered with depends on the system.
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK) and self._is_link(name):
                raise UnreadableError(f"{path} is a link, and links are not followed here") from None
            if error.errno == errno.ENXIO:
                raise UnreadableError(f"{path} is no regular file") from None
            raise OSError(error.errno, error.strerror, path) from None

    def _is_link(self, name: str) -> bool:
        return stat.S_ISLNK(self.status(name).st_mode)

    def _regular_file(self, name: str) -> os.stat_result | None:
        """Return the status of the file called *name*, or None if there is none."""
        try:
            status = self.status(_checked(name))
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            raise _no_file(f"{self.path}/{name}", status)
        return status

    def _check_owner(self, path: str, status: os.stat_result) -> None:
        """Pass if a file with more than one name is one that the owner of the dataset may have put there.

        :raises UnreadableError: if it belongs to somebody else, or is a private file of the server
        """
        owner = os.fstat((self._top or self)._descriptor).st_uid
        if status.st_uid != owner or (status.st_dev, status.st_ino) in _private_files(self._private):
            raise UnreadableError(f"{path} is also elsewhere (a hard link), as a file of somebody else")


def _names(path: str) -> deque[str]:
    return deque(name for name in path.split("/") if name not in ("", "."))


def _checked(name: str) -> str:
    if name in ("", ".", "..") or "/" in name:
        raise OSError(errno.EINVAL, "Not the name of a file", name)
    return name


def _no_file(path: str, status: os.stat_result) -> Exception:
    if stat.S_ISLNK(status.st_mode):
        return UnreadableError(f"{path} is a link, and links are not followed here")
    if stat.S_ISDIR(status.st_mode):
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return UnreadableError(f"{path} is no regular file")


def _content(descriptor: int, size: int, limit: Limit, path: str) -> bytes:
    if size > limit.size:
        raise limit.error(path)
    content = os.read(descriptor, size + 1)
    while len(content) <= limit.size and (more := os.read(descriptor, min(_CHUNK, limit.size + 1))):
        content += more  # it grows at this moment, or its file system tells no sizes
    if len(content) > limit.size:
        raise limit.error(path)
    return content


def identities(paths: Iterable[str | Path]) -> set[Identity]:
    """Return the identities of files and folders, as far as they can be looked at."""
    known = set()
    for path in paths:
        with suppress(OSError):
            status = os.stat(path)
            known.add((status.st_dev, status.st_ino))
    return known


def _private_files(private: Sequence[Path]) -> set[Identity]:
    """Return the identities of files and folders, and of the files directly in these folders."""
    known = set()
    for place in private:
        with suppress(OSError):
            known |= identities((place, *(place.iterdir() if place.is_dir() else ())))
    return known
