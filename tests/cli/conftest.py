"""The command line in this process, over the shared application; a server of its own in other processes; datasets."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import dtoolcore
import pytest
from click.testing import Result
from flask import Flask

from support import forking

RUN_SECONDS = 60


@functools.cache
def installed_commands() -> click.Group:
    installed = entry_points(group="flask.commands")
    return click.Group(
        commands={e.name: e.load() for e in installed if e.dist and e.dist.name == "dservercore"}
    )


class CommandLine:
    """``flask ...`` in this process, with the commands that the package installs."""

    def __init__(self, app: Flask):
        self.runner = app.test_cli_runner()
        self.commands = installed_commands()

    def __call__(self, *arguments: str) -> Result:
        """Run a command, whatever comes of it."""
        result = self.runner.invoke(self.commands, list(arguments))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def succeed(self, *arguments: str) -> str:
        """Return what a command prints on stdout; it must end with 0."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def fail(self, *arguments: str) -> str:
        """Return the one line on stderr of a command that must end with 1 and print nothing else."""
        result = self(*arguments)
        assert (result.exit_code, result.stdout) == (1, ""), result.output
        assert result.stderr.count("\n") == 1
        return result.stderr.strip()

    def misuse(self, *arguments: str) -> str:
        """Return what a command says that must refuse how it was called."""
        result = self(*arguments)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        return result.stderr.strip().splitlines()[-1]

    def read(self, *arguments: str) -> Any:
        """Return the JSON that a command prints."""
        return json.loads(self.succeed(*arguments))


@pytest.fixture
def flask(app: Flask) -> CommandLine:
    return CommandLine(app)


class Installation:
    """The server of somebody who has installed the package and has an empty home."""

    def __init__(self, home: Path):
        self.home = home
        self.data = home / "data"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "FLASK_APP": "dservercore",
            "DSERVER_DATA_DIR": str(self.data),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def flask(self, *arguments: str | bytes, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run ``flask`` as a shell would."""
        return forking.run(
            ["flask", *arguments],
            cwd=self.home,
            env=self.environment | settings,
            without_warnings=True,
            timeout=RUN_SECONDS,
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start ``flask`` and return its process."""
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | options
        return subprocess.Popen(
            self.command(*arguments), cwd=self.home, env=self.environment, text=True, **options
        )

    def command(self, *arguments: str | bytes) -> list[str | bytes]:
        return [sys.executable, "-W", "ignore", "-m", "flask", *arguments]

    def succeed(self, *arguments: str, **settings: str) -> str:
        """Return what ``flask`` prints on stdout; it must end with 0."""
        done = self.flask(*arguments, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fail(self, *arguments: str, **settings: str) -> str:
        """Return the one line on stderr of a command that must end with 1 and print nothing else."""
        done = self.flask(*arguments, **settings)
        assert (done.returncode, done.stdout) == (1, ""), done.stdout + done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr.strip()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    home = tmp_path / "home"
    home.mkdir()
    return Installation(home)


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory that ``flask init`` makes."""
    template = Installation(tmp_path_factory.mktemp("template"))
    template.succeed("init")
    return template.data


@pytest.fixture
def server(installation: Installation, initialised: Path) -> Installation:
    """An installation after ``flask init``."""
    shutil.copytree(initialised, installation.data)
    return installation


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A directory for datasets."""
    directory = tmp_path / "base"
    directory.mkdir()
    return directory


@pytest.fixture
def package(base: Path) -> Callable[..., Path]:
    """``package(name)`` makes a dtool dataset with one file in it, and returns its directory."""

    def make(name: str, readme: str = "description: beans\n", tags: tuple[str, ...] = ()) -> Path:
        with dtoolcore.DataSetCreator(name, f"file://{base}", readme, creator_username="olga") as creator:
            item = base.parent / "pods.csv"
            item.write_text("pods,weight\n3,12.5\n")
            creator.put_item(str(item), "pods.csv")
            for tag in tags:
                creator.proto_dataset.put_tag(tag)
            creator.proto_dataset.put_annotation("soil", "loam")
        return base / name

    return make
