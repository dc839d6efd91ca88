"""Virtual environments that are made once for all processes that run tests, and copies of them to change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import pytest
from filelock import FileLock

CHECKOUT = Path(__file__).parents[2]


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that all processes of this run share.

    :param name: of the folder
    :param make: fills it, in the first process that comes; what it raises is raised there, and the next one tries anew
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def pip(python: str, *arguments: str) -> str:
    """Run pip, and return what it prints; fail, showing everything it says, if it fails.

    :param python: the interpreter of the environment that pip changes
    """
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python_of(environment: Path) -> str:
    """Return the interpreter of a virtual environment."""
    return str(environment / "bin" / "python")


def installed(environment: Path) -> set[str]:
    """Return what is installed in a virtual environment, as ``name==version``."""
    (library,) = environment.glob("lib/python*/site-packages")
    return {f"{found.name}=={found.version}" for found in distributions(path=[str(library)])}


def new_environment(place: Path, *requirements: str) -> str:
    """Make a virtual environment in which pip installs *requirements*; return its interpreter."""
    venv.create(place, with_pip=True)
    pip(python_of(place), "install", "--quiet", *requirements)
    return python_of(place)


def make_wheel(folder: Path) -> None:
    """Build the wheel of the checkout into a folder."""
    pip(sys.executable, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT))


def copy_environment(source: Path, place: Path) -> Path:
    """Copy a virtual environment, so that something can be installed into the copy alone; return *place*.

    The files are the same on the disk, which pip never writes into: it puts others into their place. The scripts and
    what names the environment in them are copied.
    """
    shutil.copytree(source, place, symlinks=True, copy_function=os.link)
    for file in [place / "pyvenv.cfg", *(place / "bin").iterdir()]:
        content = file.read_bytes()
        if not file.is_symlink() and bytes(source) in content:
            mode = file.stat().st_mode
            file.unlink()
            file.write_bytes(content.replace(bytes(source), bytes(place)))
            file.chmod(mode)
    return place
