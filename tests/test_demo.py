"""The demo, run as ``make demo`` runs it, on a few of its datasets."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dtoolcore
import dtoolcore.utils
import pytest
import requests
import yaml

from support.live_server import flask
from support.waiting import free_port

CHECKOUT = Path(__file__).parent.parent
DATASETS = 8
SECRETS = ("jwt_key", "jwt_key.pub", "secret_key")
LAST_LINE = "Ctrl-C stops the server; `make demo PORT={port}` starts it again.\n"
START_SECONDS = 120
FOREIGN_SETTINGS = {
    "SQLALCHEMY_DATABASE_URI": "sqlite:////nonexistent/other.db",
    "JWT_PRIVATE_KEY_FILE": "/nonexistent/key",
    "DSERVER_SEARCH_PLUGIN": "nonexistent",
}

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # it downloads, and starts a dozen processes


def run_demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demo", *map(str, arguments)]
    return subprocess.run(
        command, cwd=CHECKOUT, env=os.environ | FOREIGN_SETTINGS, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo, built for the first time.

    Neither the space in its path nor the settings of the person's own server must matter.
    """
    directory = tmp_path_factory.mktemp("a demo")
    built = run_demo("--directory", directory, "--datasets", DATASETS, "--no-serve")
    assert built.returncode == 0, built.stdout + built.stderr
    return directory


@dataclass
class SecondRun:
    """The demo, run again and served, after a dataset was changed, another one lost, and the host renamed."""

    address: str
    printed: str
    secrets_before: list[str]
    changed: str
    lost: dtoolcore.DataSet


@pytest.fixture(scope="module")
def second_run(directory: Path) -> Iterator[SecondRun]:
    changed, lost = list(datasets_on_disk(directory).values())[:2]
    changed.put_tag("changed-by-hand")
    shutil.rmtree(next((directory / "data").glob(f"*/{lost.name}")))
    secrets = [(directory / name).read_text() for name in SECRETS]
    added = flask(directory, "base_uri", "add", f"file://former-host-name{directory}/data/health")
    assert added.returncode == 0, added.stderr
    port = free_port()
    command = [sys.executable, "-m", "demo", "--directory", str(directory), "--datasets", str(DATASETS)]
    with (directory / "requests.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout is not None
            lines = itertools.takewhile(lambda line: line != LAST_LINE.format(port=port), process.stdout)
            printed = "".join(lines)
            address = f"http://127.0.0.1:{port}"
            wait_until_healthy(address, process)
            yield SecondRun(address, printed, secrets, changed.name, lost)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=START_SECONDS) == 0, "Ctrl-C must end it cleanly"
        finally:
            process.kill()
            process.wait()


def wait_until_healthy(address: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{address}/config/health", timeout=5).ok:
                return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.1)
    pytest.fail(f"no answer from {address}; exit status: {process.poll()}")


def datasets_on_disk(directory: Path) -> dict[str, dtoolcore.DataSet]:
    base_uris = [dtoolcore.utils.sanitise_uri(str(base)) for base in (directory / "data").iterdir()]
    assert len(base_uris) == 2
    datasets = [found for base_uri in base_uris for found in dtoolcore.iter_datasets_in_base_uri(base_uri)]
    return {dataset.name: dataset for dataset in datasets}


def headers(directory: Path, username: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {(directory / f'token-{username}').read_text().strip()}"}


def test_real_files_are_packaged_into_two_base_uris(directory: Path) -> None:
    datasets = datasets_on_disk(directory)
    assert len(datasets) == DATASETS
    for name, dataset in datasets.items():
        item = name.partition("-")[2]
        items = {
            dataset.item_properties(identifier)["relpath"]: Path(dataset.item_content_abspath(identifier))
            for identifier in dataset.identifiers
        }
        assert sorted(items) == sorted([f"{item}.csv", f"doc/{item}.html"])
        assert len(items[f"{item}.csv"].read_text().splitlines()) > dataset.get_annotation("rows") > 0
        assert "R Documentation" in items[f"doc/{item}.html"].read_text()


def test_descriptions_come_from_the_documentation_pages(directory: Path) -> None:
    for name, dataset in datasets_on_disk(directory).items():
        readme = yaml.safe_load(dataset.get_readme_content())
        page = (directory / "data").glob(f"*/{name}/data/doc/*.html")
        assert readme["title"].split()[0] in next(page).read_text()
        assert readme["description"]
        assert dataset.list_tags()
        assert dataset.get_annotation("columns")


def test_the_user_finds_every_dataset(directory: Path, second_run: SecondRun) -> None:
    listed = requests.get(
        f"{second_run.address}/uris?page_size=100", headers=headers(directory, "alice")
    ).json()
    on_disk = datasets_on_disk(directory)
    assert {entry["name"] for entry in listed} == set(on_disk)
    name, dataset = next(iter(on_disk.items()))
    title = yaml.safe_load(dataset.get_readme_content())["title"]
    query = {"free_text": re.sub(r"\W+", " ", title), "sort": "relevance"}
    found = requests.get(
        f"{second_run.address}/uris", params=query, headers=headers(directory, "alice")
    ).json()
    assert name in {entry["name"] for entry in found}


def test_the_commands_it_prints_work(directory: Path, second_run: SecondRun) -> None:
    """The commands are run as they are printed, in a shell."""
    lines = [line.strip() for line in second_run.printed.splitlines()]
    setting = next(line for line in lines if line.startswith("TOKEN="))
    commands = [line for line in lines if line.startswith(("curl ", "DSERVER_DATA_DIR="))]
    assert len(commands) == 6
    for command in commands:
        run = subprocess.run(["bash", "-ec", f"{setting}\n{command}"], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        answer = json.loads(run.stdout)
        assert answer, command
        assert "code" not in answer, answer


def test_a_visitor_with_a_browser_is_told_where_to_go(directory: Path, second_run: SecondRun) -> None:
    printed = second_run.printed
    assert f"In a browser: {second_run.address}/ says" in printed
    page = f"{second_run.address}/doc/swagger"
    assert page in {line.strip() for line in printed.splitlines()}
    assert requests.get(page).ok
    [command] = re.findall(r"`(cat .+?)`", printed)
    token = subprocess.run(
        ["bash", "-ec", command], capture_output=True, text=True, check=True
    ).stdout.strip()
    me = requests.get(f"{second_run.address}/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["username"] == "alice"
    first_page = requests.get(f"{second_run.address}/", headers={"Accept": "text/html"})
    assert first_page.ok
    assert 'href="/doc/swagger"' in first_page.text


def test_the_administrator_administers_and_the_user_does_not(directory: Path, second_run: SecondRun) -> None:
    users = f"{second_run.address}/users"
    assert {user["username"] for user in requests.get(users, headers=headers(directory, "admin")).json()} == {
        "admin",
        "alice",
    }
    assert requests.get(users, headers=headers(directory, "alice")).status_code == 403
    me = requests.get(f"{second_run.address}/me", headers=headers(directory, "alice")).json()
    assert len(me["search_permissions_on_base_uris"]) == 2
    assert len(me["register_permissions_on_base_uris"]) == 1


def test_another_run_loses_nothing(directory: Path, second_run: SecondRun) -> None:
    """Not the keys, not what somebody changed; and a dataset that is missing is made again, the same one."""
    assert second_run.secrets_before == [(directory / name).read_text() for name in SECRETS]
    assert "1 packaged with dtool, 7 already there" in second_run.printed
    datasets = datasets_on_disk(directory)
    assert "changed-by-hand" in datasets[second_run.changed].list_tags()
    assert datasets[second_run.lost.name].uuid == second_run.lost.uuid


def test_a_renamed_host_leaves_no_second_copy(directory: Path, second_run: SecondRun) -> None:
    base_uris = requests.get(f"{second_run.address}/base-uris", headers=headers(directory, "admin")).json()
    assert len(base_uris) == 2
    assert not [entry for entry in base_uris if "former-host-name" in entry["base_uri"]]


def test_secrets_are_readable_by_their_owner_alone(directory: Path) -> None:
    for name in ("jwt_key", "secret_key", "token-alice", "token-admin"):
        assert (directory / name).stat().st_mode & 0o077 == 0, name


def test_a_port_in_use_is_one_line_before_anything_is_done(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        run = run_demo("--directory", tmp_path / "demo", "--port", port)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert f"Port {port}" in run.stderr
    assert not (tmp_path / "demo").exists()
