"""What the servers have in common: keys, a token that both accept, folders that are kept between runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jwt

from benchmarks.processes import Gunicorn
from benchmarks.workload import USERNAME, Workload
from dservercore.settings.keys import PRIVATE_KEY_NAME, PUBLIC_KEY_NAME, generate_key_pair

REPOSITORY = Path(__file__).parents[1]
DEFAULT_WORK = "~/.cache/dservercore-benchmarks"


@dataclass(frozen=True)
class Keys:
    """The key pair of all servers, and the token of the one user."""

    private: Path
    public: Path
    token: str

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables by which a server uses them."""
        return {"JWT_PRIVATE_KEY_FILE": str(self.private), "JWT_PUBLIC_KEY_FILE": str(self.public)}


def keys(work: Path) -> Keys:
    """Return the keys in *work*, made if there are none."""
    folder = work / "keys"
    private, public = folder / PRIVATE_KEY_NAME, folder / PUBLIC_KEY_NAME
    if not private.exists():
        generate_key_pair(folder)
    # The original knows nothing of further claims, and accepts a token without them.
    token = jwt.encode({"sub": USERNAME}, private.read_text(), algorithm="RS256")
    return Keys(private, public, token)


@dataclass(frozen=True)
class Served:
    """A server that answers, in which the datasets of a workload are registered."""

    address: str
    token: str
    gunicorn: Gunicorn


class Installation(Protocol):
    """One server with its databases."""

    name: str

    def fill(self) -> None:
        """Register the datasets of the workload, unless a former run has; remove what a former run left behind."""

    def serve(self) -> AbstractContextManager[Served]:
        """Return the running server."""

    def register(self, extra: int, seconds: float) -> float:
        """Register so many further datasets without HTTP, or fewer if that takes longer; return datasets a second."""

    def forget(self, extra: int) -> None:
        """Remove the further datasets."""


def run_side(
    python: Path,
    module: str,
    action: str,
    workload: Workload,
    environment: Mapping[str, str],
    options: Sequence[str] = (),
) -> dict[str, Any]:
    """Run a module of this package in another process and return the JSON object that it prints.

    :raises RuntimeError: if it fails, with the end of what it said
    """
    command = [str(python), "-m", f"benchmarks.{module}", action, "--size", str(workload.size)]
    command += ["--seed", str(workload.seed), *options]
    ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ran.stderr[-3000:]}")
    outcome: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return outcome
