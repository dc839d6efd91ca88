"""The documentation builds without a warning, and leaves out no route, command, setting or name."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import click
import pytest
from flask import Flask

import dservercore
from dservercore import utils, utils_auth
from dservercore.db import sql_db
from dservercore.settings.table import DERIVED_SETTINGS, FIXED, SETTINGS

CHECKOUT = Path(__file__).parents[2]
README = CHECKOUT / "README.rst"
DOCS = CHECKOUT / "docs"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the documentation in HTML."""
    place = tmp_path_factory.mktemp("documentation")
    options = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(place / "doctrees")]
    build = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(place / "html")],
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stderr
    return place / "html"


def text_of(page: Path) -> str:
    """Return what a reader sees of a page in HTML."""
    main = page.read_text().partition("<article")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", main)).split())


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command that the package adds to ``flask``."""
    for entry_point in distribution("dservercore").entry_points.select(group="flask.commands"):
        yield from subcommands(f"flask {entry_point.name}", entry_point.load())


def subcommands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from subcommands(f"{path} {name}", inner)


def test_every_command_and_option_is_in_the_reference(built: Path) -> None:
    page = text_of(built / "reference" / "cli.html")
    for path, command in commands():
        assert f"{path} " in page
        for parameter in command.params:
            for name in parameter.opts if isinstance(parameter, click.Option) else ():
                assert name in page, f"{path} {name}"


def test_every_command_explains_itself() -> None:
    for path, command in commands():
        assert command.help, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{path} {parameter.opts}"


def test_every_setting_is_in_the_reference(built: Path) -> None:
    page = text_of(built / "reference" / "configuration.html")
    for setting in [*SETTINGS, *DERIVED_SETTINGS]:
        assert f"{setting.name}¶ " in page
    for name in FIXED:
        assert name in page


def test_every_route_is_in_the_reference(built: Path, app: Flask) -> None:
    page = text_of(built / "reference" / "rest-api.html")
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert f"{method} {path}" in page


def test_every_object_is_in_the_reference(built: Path, app: Flask) -> None:
    page = text_of(built / "reference" / "rest-api.html")
    schemas = app.test_client().get("/doc/openapi.json").get_json()["components"]["schemas"]
    for name, schema in schemas.items():
        assert f"{name}¶ " in page
        for key in schema["properties"]:
            assert key in page, f"{name}.{key}"


def test_every_table_is_in_the_reference(built: Path) -> None:
    page = text_of(built / "reference" / "data-model.html")
    for name, table in sql_db.metadata.tables.items():
        assert f"{name}¶ " in page
        for column in table.columns:
            assert column.name in page, f"{name}.{column.name}"


def test_every_metric_is_in_the_reference_and_no_other(built: Path) -> None:
    page = text_of(built / "reference" / "metrics.html").partition("Counted")[2]
    app = dservercore.create_app({"DSERVER_METRICS_NETWORKS": "127.0.0.1"})
    with app.app_context():
        sql_db.create_all()
    answer = app.test_client().get("/metrics").text
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", answer, re.MULTILINE))
    documented = {name.removesuffix("_count") for name in re.findall(r"\b(?:dserver|process)_\w+", page)}
    assert documented == set(kinds)
    guide = (DOCS / "how-to" / "watch-the-server.rst").read_text()
    used = set(re.findall(r"\b(?:dserver|process)_[a-z_]+", guide))
    assert used
    assert {re.sub("_(bucket|count)$", "", name) for name in used} <= documented
    labels = {name for line in answer.splitlines() for name in re.findall(r'[{,](\w+)="', line)} - {"le"}
    for label in labels:
        assert re.search(rf"\b{label}\b", page), label


def test_every_name_for_plugin_authors_is_in_the_reference(built: Path) -> None:
    pages = text_of(built / "reference" / "python-api.html") + text_of(
        built / "reference" / "plugin-api.html"
    )
    for module in (dservercore, utils, utils_auth):
        for name in module.__all__:
            if not name.startswith("_preprocess"):  # an old name of another function
                assert re.search(rf"\b{name}\b", pages), f"{module.__name__}.{name}"


def test_the_build_fetches_nothing_and_the_pages_load_nothing_from_elsewhere(built: Path) -> None:
    for page in built.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|iframe)[^>]* src="([^"]+)"|<link[^>]* href="([^"]+)"', page.read_text()
        )
        for addresses in loaded:
            assert not "".join(addresses).startswith(("http:", "https:", "//")), page


def test_readme_is_a_valid_description_for_the_package_index(tmp_path: Path) -> None:
    check = subprocess.run(
        [
            sys.executable,
            "-m",
            "docutils",
            "--report=1",
            "--halt=2",
            str(README),
            str(tmp_path / "readme.html"),
        ],
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stderr
    assert not check.stderr


PAGES = sorted([*DOCS.rglob("*.rst"), *CHECKOUT.glob("*.rst"), *CHECKOUT.glob("*.md")])
#: The package of the original server, when it is not a clone in a directory of that name.
OF_THE_INDEX = re.compile(r"\bpip install\b[^`\n]*[\s\"'](dservercore)(?=[\s\"'`\[]|$)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_no_page_installs_what_the_package_index_has_under_our_name(page: Path) -> None:
    # A warning of it is in words.
    text = page.read_text().replace("``pip install\ndservercore`` would fetch", "")
    text = text.replace("``pip install dservercore`` fetches the original", "")
    assert not [match[0] for match in OF_THE_INDEX.finditer(text)]


@pytest.mark.parametrize(
    ("line", "is_refused"),
    [
        ("pip install dservercore", True),
        ("    /srv/dserver/venv/bin/pip install --upgrade dservercore", True),
        ('``pip install "dservercore[mongo]"``', True),
        ("pip install 'dservercore[mysql,mongo]'", True),
        ("pip install .", False),
        ("pip install '.[mongo]'", False),
        ("pip install './dservercore[mongo]'", False),
        ("pip install ../dservercore", False),
        ("pip install dtool-s3", False),
    ],
)
def test_what_is_an_installation_from_the_index(line: str, is_refused: bool) -> None:
    assert bool(OF_THE_INDEX.search(line)) is is_refused


def test_readme_names_files_that_are_there() -> None:
    for name in re.findall(r"``(docs/[\w/-]+\.rst|[A-Z]+\.rst)``", README.read_text()):
        assert (CHECKOUT / name).is_file(), name
