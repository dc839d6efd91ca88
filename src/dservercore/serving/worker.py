"""One process of ``flask serve`` that answers requests."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import click
from flask.cli import ScriptInfo
from uvicorn import Config, Server

from dservercore.serving.connections import Connection
from dservercore.serving.encryption import tls_context
from dservercore.serving.gateway import Gateway
from dservercore.serving.options import MISCONFIGURED, Serving

# Seconds until connections are accepted again where the machine has no memory, or files, for more of them.
_PAUSE_SECONDS = 1.0

_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {"uvicorn": {"handlers": ["console"], "propagate": False}},
}


class _Listener:
    """Accepts connections, one at a time, so that all workers have a share, and no more than there may be.

    :param make: returns what is to speak with the next client
    :param most: connections at the same time
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], Connection],
        most: int,
        encryption: ssl.SSLContext | None,
        seconds: float,
    ):
        self._socket, self._make, self._most = listening, make, most
        self._encryption = encryption
        self._handshake_seconds = seconds if encryption else None
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._is_accepting = self._is_closed = False
        self._beginning: set[asyncio.Task[None]] = set()
        self._resume()

    def _resume(self) -> None:
        if not (self._is_accepting or self._is_closed) and self._number < self._most:
            self._is_accepting = True
            self._loop.add_reader(self._socket, self._accept)

    def _pause(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            self._loop.remove_reader(self._socket)

    def _accept(self) -> None:
        try:
            client, _ = self._socket.accept()
        except OSError as error:  # mostly BlockingIOError: another worker was quicker
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._pause()
                self._loop.call_later(_PAUSE_SECONDS, self._resume)
            return
        self._number += 1
        if self._number >= self._most:
            self._pause()
        client.setblocking(False)
        task = self._loop.create_task(self._begin(client))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin(self, client: socket.socket) -> None:
        connection = self._make()
        connection.on_end = self._release
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                client,
                ssl=self._encryption,
                ssl_handshake_timeout=self._handshake_seconds,
            )
        except OSError:  # no TLS, or none in time
            client.close()
            self._release()

    def _release(self) -> None:
        self._number -= 1
        self._resume()

    def close(self) -> None:
        """Accept no more connections."""
        self._is_closed = True
        self._pause()

    async def wait_closed(self) -> None:
        """Do nothing: nothing is left to wait for."""


class _Server(Server):
    """uvicorn on a socket that is there already.

    :param most: connections at the same time
    :param when_ready: is called when connections are accepted
    """

    def __init__(
        self,
        config: Config,
        listening: socket.socket,
        serving: Serving,
        most: int,
        when_ready: Callable[[], None],
    ):
        super().__init__(config)
        self._listening, self._serving, self._most, self._when_ready = listening, serving, most, when_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        loop = asyncio.get_running_loop()

        def make() -> Connection:
            return Connection(self.config, self.server_state, {}, loop)

        serving = self._serving
        encryption = (
            tls_context(serving.certificate, serving.key) if serving.certificate and serving.key else None
        )
        listener: Any = _Listener(self._listening, make, self._most, encryption, serving.client_seconds)
        self.servers = [listener]
        self.started = True
        self._when_ready()


def work(
    application: str | None,
    serving: Serving,
    listening: socket.socket,
    connections: int,
    parent: int,
    when_ready: Callable[[], None],
) -> None:
    """Answer requests until SIGTERM comes, or the parent process is no more.

    :param application: what ``FLASK_APP`` says
    :param connections: clients at the same time
    :param parent: number of its process
    :param when_ready: is called when connections are accepted
    :raises SystemExit: 4 if the application cannot be loaded
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        with click.Context(click.Command("serve"), info_name="serve"):
            app = ScriptInfo(application).load_app()
    except click.ClickException as error:
        error.show()
        sys.exit(MISCONFIGURED)
    config = Config(
        Gateway(app, serving.threads, serving.client_seconds),
        interface="asgi3",
        http=Connection,
        ws="none",
        lifespan="off",
        loop="asyncio",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=_LOGGING,
        log_level="error",
        timeout_keep_alive=serving.client_seconds,
        timeout_graceful_shutdown=serving.graceful_seconds,
    )
    _Server(config, listening, serving, connections, when_ready).run()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
