"""The guide to Docker Compose, by reading: it names what docker-compose.yml, the Dockerfile and the commands have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from flask.cli import ScriptInfo, cli

from support.walking import blocks, commands

CHECKOUT = Path(__file__).parents[2]
GUIDE = CHECKOUT / "docs" / "how-to" / "run-with-docker-compose.rst"
COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()
BLOCKS = blocks(GUIDE)

#: Those that the guide turns on.
EXTENSIONS = re.findall(r"DSERVER_EXTENSIONS=(\S+)", GUIDE.read_text())[0]

#: Options of ``docker compose exec`` and ``run`` that are in use, and whether a value follows.
OPTIONS = {"-T": False, "--rm": False, "--no-deps": False, "--entrypoint": True, "--volume": True}


def lines() -> Iterator[list[str]]:
    """Yield the words of each command of the guide that runs Docker."""
    for block in BLOCKS:
        for command in commands(block.text) if block.language == "" else ():
            inner = re.fullmatch(r"\w+=\$\((.*)\)", command)
            words = shlex.split(inner.group(1) if inner else command)
            if words[0] == "docker":
                yield words


def in_containers() -> list[tuple[str, list[str]]]:
    """Return each command that runs in a container of Docker Compose, with its service."""
    result = []
    for words in lines():
        if words[:2] == ["docker", "compose"] and words[2] in ("exec", "run"):
            rest = words[3:]
            entrypoint: list[str] = []
            while rest[0].startswith("-"):
                option = rest.pop(0)
                value = rest.pop(0) if OPTIONS[option] else ""
                if option == "--entrypoint":
                    entrypoint = [value]
            end = next((place for place, word in enumerate(rest) if word in ("<", ">")), len(rest))
            result.append((rest[0], entrypoint + rest[1:end]))
    return result


def test_the_guide_runs_commands_in_the_container_of_the_server() -> None:
    assert len(in_containers()) > 9
    assert {service for service, _ in in_containers()} == {"app"}


def test_services_are_those_of_the_file() -> None:
    documented = set(re.findall(r"^   \* - ``(\w+)``$", GUIDE.read_text(), re.MULTILINE))
    assert documented == set(COMPOSE["services"])
    named = {word for words in lines() for word in words if word in ("nginx", "app", "postgres", "mongo")}
    assert named <= documented


def test_volumes_are_those_of_the_file() -> None:
    rows = re.findall(r"``(\w+)``$", GUIDE.read_text().partition("Start it\n")[0], re.MULTILINE)
    assert set(COMPOSE["volumes"]) <= set(rows)


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "HTTP_PORT", "HTTP_ADDRESS", "DSERVER_EXTENSIONS"])
def test_variables_are_those_of_the_file(name: str) -> None:
    assert f"{name}=" in GUIDE.read_text()
    assert f"${{{name}:" in (CHECKOUT / "docker-compose.yml").read_text()


def test_every_flask_command_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSERVER_EXTENSIONS", EXTENSIONS)
    typed = [words[1:] for service, words in in_containers() if service == "app" and words[0] == "flask"]
    assert len(typed) > 7
    with click.Context(cli, obj=ScriptInfo(app_import_path="dservercore")) as context:
        for words in typed:
            command: click.Command = cli
            # The backup is in the container alone; commands look whether there is such a file.
            parent, rest = context, [str(GUIDE) if word.startswith("/backup/") else word for word in words]
            while isinstance(command, click.Group):
                name, inner, rest = command.resolve_command(parent, rest)
                assert inner, words
                command = inner
                parent = click.Context(command, info_name=name, parent=parent)
            command.make_context(command.name, rest)


def test_what_is_put_into_another_file_fits_the_one_that_is_there() -> None:
    files = [yaml.safe_load(block.text) for block in BLOCKS if block.language == "yaml"]
    assert len(files) == 3
    for file in files:
        for name, service in file["services"].items():
            assert set(service) <= {"environment", "hostname", "volumes"}
            assert name in COMPOSE["services"]
            volumes = service.get("volumes", [])
            # Nothing may be mounted over the keys.
            assert not volumes or volumes[0] in COMPOSE["services"][name]["volumes"]
            assert not any(":/data/" in volume or ":/data:" in volume for volume in volumes)


def test_what_the_guide_says_of_the_image_is_so() -> None:
    assert "useradd --uid 1000" in DOCKERFILE
    assert "the user 1000" in GUIDE.read_text()
    assert re.search(r"\[.*\bs3\b.*\]", DOCKERFILE)
    assert "VOLUME /data" in DOCKERFILE
    assert "EXPOSE 5000" in DOCKERFILE
    assert "flask init" in (CHECKOUT / "docker" / "entrypoint.sh").read_text()


def test_what_is_backed_up_is_what_is_restored() -> None:
    typed = [words for service, words in in_containers() if service == "app" and words[0] == "flask"]
    assert ["flask", "backup", "--with-keys", "-"] in typed
    assert ["flask", "restore", "/backup/dserver.tar"] in typed
