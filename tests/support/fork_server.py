"""The program behind ``forking``: it has imported the package, and becomes ``python -m ...`` whenever it is asked.

Started with the number of a socket, by which the requests come: of each, JSON and four files, stdin, stdout, stderr and
one that is told the number of the process and, when it has ended, its status.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import warnings
from typing import Any

#: What every command and every server imports, or most do.
IMPORTED = [
    *["dservercore", "dservercore.cli", "dservercore.serving", "flask.cli", "logging.config"],
    *["dservercore.plugins.sql.search", "dservercore.plugins.sql.retrieve", "gunicorn.app.wsgiapp"],
]

MESSAGE_SIZE = 2**18


def served(number: int) -> dict[str, Any]:
    """Fork for each request; return one, in the process that is to fulfil it."""
    requests = socket.socket(fileno=number)
    watched: dict[int, int] = {}  # process: file that is told what becomes of it
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for what was asked for
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            os.read(woken, 2**16)
            _tell_of_the_dead(watched)
        if requests in ready:
            message, files, _, _ = socket.recv_fds(requests, MESSAGE_SIZE, 4)
            if not message:
                sys.exit(0)  # nobody is there to ask
            process = os.fork()
            if process == 0:
                signal.set_wakeup_fd(-1)
                for standard, file in enumerate(files[:3]):
                    os.dup2(file, standard)
                requests.detach()
                os.closerange(3, max(woken, wakes, number, *watched.values(), *files) + 1)
                return json.loads(message)
            watched[process] = files[3]
            _tell(files[3], process)
            for file in files[:3]:
                os.close(file)


def _tell_of_the_dead(watched: dict[int, int]) -> None:
    while watched:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        file = watched.pop(process)
        _tell(file, os.waitstatus_to_exitcode(status))
        os.close(file)


def _tell(file: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # who asked is no longer interested
        os.write(file, f"{number}\n".encode())


def become(request: dict[str, Any]) -> None:
    """Let this process be as if Python had just been started."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["new_session"]:
        os.setsid()
    os.umask(request["umask"])
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())  # type: ignore[union-attr]
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [os.getcwd(), *filter(None, places)]
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    sys.argv = [request["module"], *request["arguments"]]
    if request["without_warnings"]:
        warnings.simplefilter("ignore")
    importlib.invalidate_caches()


if __name__ == "__main__":
    sys.path.pop(0)  # where this file is
    for module in IMPORTED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    asked = served(int(sys.argv[1]))
    become(asked)
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
