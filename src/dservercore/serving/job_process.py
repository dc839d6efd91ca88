"""The process of ``flask serve`` that does what is in the queue."""

from __future__ import annotations

import os
import signal
import threading
import time

from flask.cli import ScriptInfo

from dservercore.catalog import job_runs

_LOOK_SECONDS = 1.0


def do_jobs(application: str | None, parent: int) -> None:
    """Do jobs until SIGTERM comes, or the server has gone.

    :param application: what ``FLASK_APP`` says
    :param parent: the process that watches over this one
    """
    is_over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: is_over.set())
    app = ScriptInfo(app_import_path=application).load_app()
    threading.Thread(target=_watch, args=(parent, is_over), daemon=True).start()
    with app.app_context():
        job_runs.work(is_over)


def _watch(parent: int, is_over: threading.Event) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    is_over.set()
