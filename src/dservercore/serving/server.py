"""The process of ``flask serve`` that watches over the workers."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from dservercore.serving.job_process import do_jobs
from dservercore.serving.options import MISCONFIGURED, Serving
from dservercore.serving.sockets import allowed_connections
from dservercore.serving.worker import work

logger = logging.getLogger("dservercore")

#: Workers that may end one after the other before any of them has accepted a connection.
MAX_FAILURES = 3

# Seconds between looks at the workers, and for which a worker may go on after its time for ending has passed.
_LOOK_SECONDS, _MORE_SECONDS = 0.5, 2.0

# Seconds until another process does jobs in the place of one that has ended.
_PAUSE_SECONDS = 5.0

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(
    application: str | None, serving: Serving, listening: socket.socket, announce: Callable[[], None]
) -> None:
    """Serve an application until SIGTERM, SIGINT or SIGHUP comes.

    :param application: where it is, as ``FLASK_APP`` says; None: it is looked for as ``flask`` does
    :param listening: the socket that workers accept connections from
    :param announce: is called when the server answers
    :raises SystemExit: 4 if a worker cannot load the application, 1 if workers end as soon as they are started
    """
    status = _Supervisor(application, serving, listening, announce).run()
    if serving.unix_socket:
        with contextlib.suppress(OSError):
            serving.unix_socket.unlink()
    if status:
        raise SystemExit(status)


class _Supervisor:
    """Starts the workers, and others in the place of those that end, until a signal comes."""

    def __init__(
        self,
        application: str | None,
        serving: Serving,
        listening: socket.socket,
        announce: Callable[[], None],
    ):
        self._application, self._serving, self._listening = application, serving, listening
        self._connections = allowed_connections(serving.connections)
        self._announce: Callable[[], None] | None = announce
        self._workers: dict[int, int] = {}  # by process: a pipe that tells that it is ready, which is -1 then
        self._process = os.getpid()
        self._job_process: int | None = None
        self._job_start = 0.0  # not before then, on the clock of time.monotonic
        self._failures = 0
        self._status: int | None = None  # of this process, once it is to end
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Return the exit status of the server."""
        # A pipe that any signal makes readable, so that none of them has to wait.
        woken, wakes = socket.socketpair()
        woken.setblocking(False)
        wakes.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        self._selector.register(woken, selectors.EVENT_READ)
        # The settings and the code are those with which the server was started: there is nothing to reload, and a
        # terminal that is closed ends what runs in it.
        for number in _ENDING:
            signal.signal(number, self._end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while self._status is None:
            while len(self._workers) < self._serving.workers and self._status is None:
                self._start()
            if self._serving.does_jobs and not self._job_process and time.monotonic() >= self._job_start:
                self._job_process = self._fork(self._do_jobs)
            for key, _ in self._selector.select(_LOOK_SECONDS):
                if key.fileobj is woken:
                    with contextlib.suppress(BlockingIOError):
                        woken.recv(4096)
                else:
                    self._hear(key.data)
            self._bury()
        self._listening.close()
        self._stop()
        return self._status

    def _end(self, *_: Any) -> None:
        self._status = self._status or 0

    def _start(self) -> None:
        ready, readies = os.pipe()

        def be_worker() -> None:
            os.close(ready)

            def tell() -> None:
                os.write(readies, b".")
                os.close(readies)

            work(self._application, self._serving, self._listening, self._connections, self._process, tell)

        process = self._fork(be_worker)
        os.close(readies)
        self._workers[process] = ready
        self._selector.register(ready, selectors.EVENT_READ, process)

    def _do_jobs(self) -> None:
        self._listening.close()
        do_jobs(self._application, self._process)

    def _fork(self, child: Callable[[], None]) -> int:
        """Start a process that does what *child* does, and ends. Return its number."""
        sys.stdout.flush()
        sys.stderr.flush()
        # A process that has just been forked would take signals for its parent's until it says what it does on them.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        process = os.fork()
        if process == 0:
            self._be(child)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        return process

    def _be(self, child: Callable[[], None]) -> None:
        """Do what *child* does, and end."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            self._selector.close()
            for pipe in self._workers.values():
                if pipe >= 0:
                    os.close(pipe)
            # Ctrl-C reaches all processes of a terminal: the parent ends the others.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            child()
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _hear(self, process: int) -> None:
        """Take note that the worker with this process number is ready, or has ended before it was."""
        pipe = self._workers[process]
        is_ready = bool(os.read(pipe, 1))
        self._selector.unregister(pipe)
        os.close(pipe)
        self._workers[process] = -1
        if is_ready:
            self._failures = 0
            if self._announce:
                self._announce()
                self._announce = None
        else:
            self._failures += 1

    def _bury(self) -> None:
        """Take note of processes that have ended."""
        if self._job_process:
            ended, waited = os.waitpid(self._job_process, os.WNOHANG)
            if ended:
                self._job_process = None
                self._job_start = time.monotonic() + _PAUSE_SECONDS
                if self._status is None:
                    status = os.waitstatus_to_exitcode(waited)
                    logger.error(
                        "The process that does jobs has ended with status %d; another one follows", status
                    )
        for process in list(self._workers):
            ended, waited = os.waitpid(process, os.WNOHANG)
            if not ended:
                continue
            pipe = self._workers[process]
            if pipe >= 0:
                self._hear(process)
            del self._workers[process]
            status = os.waitstatus_to_exitcode(waited)
            if self._status is not None:
                continue
            if status == MISCONFIGURED:
                self._status = MISCONFIGURED
            elif self._failures >= MAX_FAILURES:
                logger.error("Workers end as soon as they are started, the last one with status %d", status)
                self._status = 1
            else:
                logger.error(
                    "Worker %d has ended with status %d; another one takes its place", process, status
                )

    def _stop(self) -> None:
        """End the processes, and kill those that do not end in time."""
        self._tell(signal.SIGTERM)
        deadline = time.monotonic() + self._serving.graceful_seconds + _MORE_SECONDS
        while (self._workers or self._job_process) and time.monotonic() < deadline:
            self._bury()
            time.sleep(0.02)
        self._tell(signal.SIGKILL)
        for process in self._processes():
            os.waitpid(process, 0)

    def _tell(self, number: int) -> None:
        for process in self._processes():
            os.kill(process, number)

    def _processes(self) -> list[int]:
        return [*self._workers, *([self._job_process] if self._job_process else [])]
