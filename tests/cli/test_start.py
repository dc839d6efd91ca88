"""What a short command has to wait for before it does anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.live_server import environment, flask

#: What answers requests, and what has nothing to do with the catalogue: each takes as long as many others together.
SLOW = (
    "dservercore.routes",
    "dservercore.rest.blueprint",
    "dservercore.web.pages",
    "pymongo",
    "cryptography.x509",
)


@pytest.mark.parametrize("extensions", ["", "graph,notification,query,signed_url"])
def test_a_short_command_imports_nothing_that_only_requests_need(extensions: str, tmp_path: Path) -> None:
    assert flask(tmp_path, "db", "upgrade", DSERVER_EXTENSIONS=extensions).returncode == 0
    listed = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flask", "user", "list"],
        cwd=tmp_path,
        env=environment(tmp_path, DSERVER_EXTENSIONS=extensions),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert listed.stdout == "[]\n", listed.stderr
    imported = {line.rpartition("|")[2].strip() for line in listed.stderr.splitlines()}
    assert "dservercore.models" in imported
    assert not imported & set(SLOW)
