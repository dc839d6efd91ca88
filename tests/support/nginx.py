"""An nginx in front of a server, with a configuration that users run: only addresses and times are others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

from support.waiting import free_port

CHECKOUT = Path(__file__).parents[2]
START_SECONDS = 20

MAIN = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{configuration}
}}
"""


def of_docker() -> str:
    """Return docker/nginx.conf."""
    return (CHECKOUT / "docker" / "nginx.conf").read_text()


def of_the_guide() -> str:
    """Return what the guide to running the server in production has nginx do."""
    guide = (CHECKOUT / "docs" / "how-to" / "run-in-production.rst").read_text()
    block = re.search(r"\.\. code-block:: nginx\n\n((?:   .*\n|\n)+)", guide)
    assert block
    return dedent(block[1])


def executable() -> str:
    """Return the path of nginx, which Debian keeps where only administrators look.

    :raises FileNotFoundError: if there is none
    """
    path = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        raise FileNotFoundError("There is no nginx")
    return path


def adapted(configuration: str, upstream: str, port: int, folder: Path) -> str:
    """Return a configuration with the addresses and certificates of a test.

    :param upstream: host and port of the server behind nginx
    """
    configuration = configuration.replace("app:5000", upstream).replace("127.0.0.1:5000", upstream)
    configuration = re.sub(r"\blisten (80|443)\b", f"listen 127.0.0.1:{port}", configuration)
    return re.sub(r"/etc/ssl/\w+/(\S+);", rf"{folder}/\1;", configuration)


@contextmanager
def nginx(configuration: str, upstream: str, folder: Path) -> Iterator[int]:
    """Run nginx in front of *upstream*; yield its port.

    :param configuration: what users have in a file of their own, within the ``http`` block
    :param upstream: host and port of the server behind nginx
    """
    port = free_port()
    certificate = folder / "dserver.example.org"
    _make_certificate(certificate)
    file = folder / "nginx.conf"
    file.write_text(MAIN.format(folder=folder, configuration=adapted(configuration, upstream, port, folder)))
    process = subprocess.Popen(
        [executable(), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(file)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "nginx.pid").exists() or not (folder / "nginx.pid").read_text():
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def _make_certificate(name: Path) -> None:
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    places = ["-subj", f"/CN={name.name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
    subprocess.run(["openssl", "req", *options, *places], check=True, capture_output=True)
