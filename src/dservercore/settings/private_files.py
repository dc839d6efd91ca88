"""Directories and files that nobody but their owner can read, from the first moment on and whatever the umask.

What root makes in a directory belongs to the owner of the directory: root often runs a command for a service, which
could not even read files of root.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make a directory, and those that lead to it, where they are not there.

    :raises OSError: if one of them cannot be made, or something else has the name
    """
    for directory in reversed([path, *path.parents]):
        if not directory.exists():
            with suppress(FileExistsError):  # another process was faster
                directory.mkdir(mode=0o700)
                directory.chmod(0o700)
                if os.geteuid() == 0:
                    owner = directory.parent.stat()
                    os.chown(directory, owner.st_uid, owner.st_gid, follow_symlinks=False)
    if not path.is_dir():
        path.mkdir()  # which says what is wrong


def make_file(path: Path) -> None:
    """Make an empty file where there is none.

    :raises OSError: if it cannot be made
    """
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            give_to_owner_of(path.parent, descriptor)
        finally:
            os.close(descriptor)


def give_to_owner_of(directory: Path, descriptor: int) -> None:
    """Let an open file, made by root, belong to the owner of a directory.

    It is given by its descriptor, as the owner of the directory may have put another file under its name. Nothing
    changes where this process is not root, or the file has other names, too.
    """
    if os.geteuid() == 0 and os.fstat(descriptor).st_nlink == 1:
        owner = os.stat(directory)
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def give_file_to_owner_of(directory: Path, path: Path) -> None:
    """Let a file that is about to be moved to a directory belong to the owner of the directory.

    :raises OSError: if it is a link
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        give_to_owner_of(directory, descriptor)
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Make durable what has been renamed in a directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
