"""The server as the README has it installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.environments import made_once
from support.walking import install


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment of the server, for all processes: nothing may be installed into it but into copies."""
    return made_once(tmp_path_factory, "reader", install) / "dserver"
