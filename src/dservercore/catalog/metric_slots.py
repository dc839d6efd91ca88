"""The files in which the workers of one server keep what they count, so that it outlives them.

A server is a process with workers as its children, and has a directory of its own. Each worker has a slot in it: two
files of counters, and a file that it holds the lock of for as long as it lives, however it ends. The next worker takes
the first slot that nobody holds, and goes on from the numbers that are in it. So there are as many files as there were
workers at the same time, and nothing that was counted is lost.

The directory goes when the server has ended and another one begins. That begins at zero, as its readers expect it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from dservercore.settings import private_files

#: Bytes of the files of a slot. They are written in advance: a disk that is full later does not matter, where it would
#: end the worker (SIGBUS) if the file only grew as it is needed.
SIZES = {"counter": 2**18, "histogram": 2**21}

# By which the library that counts is told where its files are.
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


class Slots:
    """The slots of the server that this process is a worker of.

    :param directory: where each server has a directory of its own
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: int | None = None
        self._lock: int | None = None
        self._name = ""

    @property
    def files(self) -> Path:
        """The directory of the server."""
        return self._directory / _server_name()

    def name(self) -> str:
        """Return the name of the slot that this process has, and take one if it has none yet.

        :raises OSError: if its files cannot be made
        """
        if self._process != os.getpid():
            self._take()
        return self._name

    def _take(self) -> None:
        if self._lock is not None:  # it is that of the parent, which keeps it
            os.close(self._lock)
            self._lock = None
        private_files.make_directory(self._directory)
        lock = self._directory / "lock"
        private_files.make_file(lock)
        with _held(lock):
            self._remove_ended_servers()
            private_files.make_directory(self.files)
            self._lock, self._name = _first_free_slot(self.files)
        for kind, size in SIZES.items():
            _fill(self.files / f"{kind}_{self._name}.db", size)
        os.environ[_DIRECTORY] = str(self.files)
        self._process = os.getpid()

    def _remove_ended_servers(self) -> None:
        for files in self._directory.iterdir():
            if files.is_dir() and files != self.files and not _is_running(files):
                shutil.rmtree(files, ignore_errors=True)

    def workers(self) -> dict[str, int]:
        """Return the processes that have a slot, by the names of the slots."""
        processes = {}
        for lock in self.files.glob("*.lock"):
            with suppress(OSError, ValueError):
                process = int(lock.read_text())
                if _parent_of(process) == os.getppid():
                    processes[lock.stem] = process
        return processes


def _first_free_slot(files: Path) -> tuple[int, str]:
    """Return the lock of the first slot that nobody holds, now held, and the name of the slot."""
    for number in count():
        lock = _try(files / f"{number}.lock")
        if lock is not None:
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
            return lock, str(number)
    raise AssertionError("There is no last number")


def _try(path: Path) -> int | None:
    """Return the descriptor of a file whose lock this process has from now on; None: another process has it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError:
        os.close(lock)
        raise
    return lock


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold the lock of a file."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _fill(path: Path, size: int) -> None:
    """Make a file that long, with zeros at its end. Whoever reads it meanwhile finds all of it, or no file."""
    if not path.exists():
        new = path.with_suffix(".new")
        new.write_bytes(bytes(size))
        new.replace(path)
        return
    with path.open("ab") as file:
        file.write(bytes(max(0, size - file.tell())))


# -- Which server ----------------------------------------------------------------------------------------------------


def _server_name() -> str:
    """Return a name that no other server has, here or on another machine that has the directory, too."""
    return f"{socket.gethostname()}-{os.getppid()}-{_start_of(os.getppid())}"


def _is_running(files: Path) -> bool:
    """Return whether a server has not ended: it, or one of its workers."""
    host, process, start = files.name.rsplit("-", 2)
    if host == socket.gethostname() and _start_of(int(process)) == start:
        return True
    for path in files.glob("*.lock"):
        lock = _try(path)
        if lock is None:
            return True
        os.close(lock)
    return False


def _start_of(process: int) -> str | None:
    """Return when a process began, in a unit of the system; ``"0"``: it does not tell; None: there is none."""
    status = _status_of(process)
    if status:
        return status[19]
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "0"


def _parent_of(process: int) -> int | None:
    """Return the number of the parent of a process; None: there is no such process, or the system does not tell."""
    status = _status_of(process)
    return int(status[1]) if status else None


def _status_of(process: int) -> list[str]:
    """Return what Linux says of a process from its state on (the third field); ``[]`` where that is nothing."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
