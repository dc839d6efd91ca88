"""Directories and files that nobody but their owner can read, from the first moment on and whatever the umask."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make a directory, and those that lead to it, where they are not there.

    :raises OSError: if that is not possible
    """
    for directory in reversed([path, *path.parents]):
        if not directory.exists():
            with suppress(FileExistsError):  # another process was faster
                directory.mkdir(mode=0o700)
                directory.chmod(0o700)
    if not path.is_dir():
        path.mkdir()  # which says what is wrong


def make_file(path: Path) -> None:
    """Make an empty file where there is none.

    :raises OSError: if that is not possible
    """
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
