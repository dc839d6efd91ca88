"""A certified provider of OpenID Connect, npm's ``oidc-provider``, as a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.oidc_provider import AUDIENCE, CLIENT_ID, CLIENT_SECRET
from support.waiting import free_port

PACKAGE = "oidc-provider@9.13.3"
PROGRAM = Path(__file__).with_suffix(".mjs")

NODE, NPM = shutil.which("node"), shutil.which("npm")

needs_node = pytest.mark.skipif(
    not (NODE and NPM) and not os.environ.get("CI"), reason="node and npm are not installed"
)


def install(folder: Path) -> None:
    """Fetch the provider into a folder."""
    assert NPM is not None, "npm is not installed"
    (folder / "package.json").write_text('{"private": true}')
    command = [NPM, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", PACKAGE]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    shutil.copy(PROGRAM, folder)


@contextmanager
def running(folder: Path, redirect_uri: str) -> Iterator[str]:
    """Start the provider that was installed in a folder, and give its issuer.

    :param redirect_uri: where it sends browsers back to
    """
    port = free_port()
    settings = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "REDIRECT_URI": redirect_uri,
        "CLIENT_ID": CLIENT_ID,
        "CLIENT_SECRET": CLIENT_SECRET,
        "AUDIENCE": AUDIENCE,
    }
    assert NODE is not None, "node is not installed"
    with (folder / "log").open("w") as log:
        command = [NODE, PROGRAM.name]
        process = subprocess.Popen(
            command, cwd=folder, env=settings, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        started = process.stdout.readline()
        assert started.startswith("listening"), (folder / "log").read_text()
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()
