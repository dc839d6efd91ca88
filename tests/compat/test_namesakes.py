"""A bundled extension and the published one that does the same do not start together."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from dservercore import create_app
from dservercore.compat.namesakes import PUBLISHED
from dservercore.errors import ConfigurationError
from support.extension_package import write_package

EXTENSION = """
from flask_smorest import Blueprint

class Ear:
    def get_blueprint(self):
        return Blueprint(__name__, __name__, url_prefix="/" + __name__)
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages that are installed before all others."""
    folder = tmp_path / "packages"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    sys.modules.pop("published", None)


def publish(packages: Path, distribution_name: str) -> None:
    module = "published"
    write_package(packages, module, EXTENSION, extension="Ear")
    metadata = packages / f"{module}-0.1.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace(f"Name: {module}", f"Name: {distribution_name}"))


def start(config: dict[str, Any], *extensions: str) -> Flask:
    return create_app({**config, "DSERVER_EXTENSIONS": list(extensions)})


@pytest.mark.parametrize("name", PUBLISHED)
def test_together_they_are_an_error_that_says_which_to_drop(
    packages: Path, config: dict[str, Any], name: str
) -> None:
    publish(packages, PUBLISHED[name])
    with pytest.raises(ConfigurationError) as raised:
        start(config, name)
    assert f"pip uninstall {PUBLISHED[name]}" in str(raised.value)
    assert f"drop {name} from DSERVER_EXTENSIONS" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_however_its_name_is_spelled(packages: Path, config: dict[str, Any]) -> None:
    publish(packages, "Dserver_Dependency.Graph-plugin")
    with pytest.raises(ConfigurationError, match="graph"):
        start(config, "graph")


@pytest.mark.parametrize(
    ("distribution_name", "named", "used"),
    [
        ("dserver-notification-plugin", [], ["published"]),
        ("dserver-notification-plugin", ["graph"], ["published", "dservercore.plugins.graph"]),
        ("graph", ["graph"], ["published", "dservercore.plugins.graph"]),
    ],
)
def test_one_of_the_two_starts_and_so_do_two_of_different_kinds(
    packages: Path, config: dict[str, Any], distribution_name: str, named: list[str], used: list[str]
) -> None:
    publish(packages, distribution_name)
    app = start(config, *named)
    assert [type(extension).__module__ for extension in app.custom_extensions] == used  # type: ignore[attr-defined]
