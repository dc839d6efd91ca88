"""The wheel, installed elsewhere, works as the checkout: migrations, templates and assets are inside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from support.environments import python_of
from support.waiting import free_port

START_SECONDS = 120

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # a plain installation fetches every dependency


@pytest.fixture(scope="module")
def python(bare_environment: Path) -> str:
    """The interpreter of a virtual environment with nothing but the wheel and its dependencies."""
    return python_of(bare_environment)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder, which is both home and working directory."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def environment(elsewhere: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(elsewhere), "FLASK_APP": "dservercore", "LANG": "C.UTF-8"}


@pytest.fixture(scope="module")
def address(python: str, elsewhere: Path, environment: dict[str, str]) -> Iterator[str]:
    """Where gunicorn serves the installed package, over a database that ``flask db upgrade`` made."""
    run([python, "-m", "flask", "db", "upgrade"], cwd=elsewhere, env=environment)
    place = f"127.0.0.1:{free_port()}"
    command = [python, "-m", "gunicorn", "--bind", place, "dservercore:create_app()"]
    log = elsewhere / "gunicorn.log"
    with log.open("w") as stream:
        server = subprocess.Popen(command, cwd=elsewhere, env=environment, stdout=stream, stderr=stream)
    try:
        wait_until_healthy(f"http://{place}", server, log)
        yield f"http://{place}"
    finally:
        server.terminate()
        server.wait()


def run(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Return what the command printed on standard output; fail, showing everything it said, if it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_until_healthy(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if requests.get(f"{address}/config/health", timeout=5).json() == {"status": "healthy"}:
                return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.1)
    pytest.fail(log.read_text())


def test_the_command_line_works_from_anywhere(
    python: str, elsewhere: Path, environment: dict[str, str]
) -> None:
    flask = [python, "-m", "flask", "--app", "dservercore"]
    run([*flask, "db", "upgrade"], cwd=elsewhere, env=environment)
    versions = json.loads(run([*flask, "config", "versions"], cwd=elsewhere, env=environment))
    assert versions["dservercore"]
    assert versions["dserver_search_plugin_sql"]


def test_the_package_comes_from_the_wheel(python: str, elsewhere: Path, environment: dict[str, str]) -> None:
    """Otherwise the other tests would say nothing about it."""
    location = run(
        [python, "-c", "import dservercore; print(dservercore.__file__)"], cwd=elsewhere, env=environment
    )
    assert Path(location).is_relative_to(Path(python).parent.parent)


def test_the_wheel_holds_the_package_and_nothing_else(python: str) -> None:
    packages = Path(python).parent.parent.glob("lib/python3*/site-packages")
    tops = {path.name for path in next(packages).iterdir()}
    assert "dservercore" in tops
    assert not tops & {"tests", "demo", "docs", "benchmarks", "migrations"}


@pytest.mark.parametrize("page", ["/doc/swagger", "/doc/redoc"])
def test_the_documentation_page_brings_its_own_assets(address: str, page: str) -> None:
    answer = requests.get(address + page, timeout=60)
    assert answer.status_code == 200
    assets = re.findall(r"""(?:src|href)=["']([^"']+\.(?:js|css))["']""", answer.text)
    assert assets
    for asset in assets:
        url = urljoin(address + page, asset)
        assert url.startswith(address), f"{url} would need the internet"
        assert requests.get(url, timeout=60).status_code == 200, url


def test_the_openapi_document_is_served(address: str) -> None:
    document = requests.get(f"{address}/doc/openapi.json", timeout=60).json()
    assert "/uris" in document["paths"]
