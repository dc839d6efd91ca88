"""The demo, run as ``make demo`` runs it, on a few of its datasets."""

from __future__ import annotations

import json
import os
import re
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

CHECKOUT = Path(__file__).parent.parent
DATASETS = 8
START_SECONDS = 60


def run_demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demo", *map(str, arguments)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo, built for the first time; the space in its path must not matter."""
    directory = tmp_path_factory.mktemp("a demo")
    built = run_demo("--directory", directory, "--datasets", DATASETS, "--no-serve")
    assert built.returncode == 0, built.stdout + built.stderr
    return directory


@dataclass
class ServedDemo:
    address: str
    printed: str
    process: subprocess.Popen[str]


@pytest.fixture(scope="module")
def served(directory: Path) -> Iterator[ServedDemo]:
    """The demo of `directory`, run for the second time, and served."""
    port = free_port()
    command = [sys.executable, "-m", "demo", "--directory", str(directory), "--datasets", str(DATASETS)]
    log = (directory / "requests.log").open("w")
    process = subprocess.Popen(
        [*command, "--port", str(port)], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=log, text=True
    )
    try:
        assert process.stdout is not None
        printed = "".join(
            iter(process.stdout.readline, "Ctrl-C stops the server; `make demo` starts it again.\n")
        )
        address = f"http://127.0.0.1:{port}"
        wait_until_healthy(address, process)
        yield ServedDemo(address, printed, process)
    finally:
        process.terminate()
        process.wait()
        log.close()


def wait_until_healthy(address: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{address}/config/health", timeout=5).ok:
                return
        except requests.ConnectionError:
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


def test_the_user_finds_every_dataset(directory: Path, served: ServedDemo) -> None:
    listed = requests.get(f"{served.address}/uris?page_size=100", headers=headers(directory, "alice")).json()
    on_disk = datasets_on_disk(directory)
    assert {entry["name"] for entry in listed} == set(on_disk)
    name, dataset = next(iter(on_disk.items()))
    title = yaml.safe_load(dataset.get_readme_content())["title"]
    query = {"free_text": re.sub(r"\W+", " ", title), "sort": "relevance"}
    found = requests.get(f"{served.address}/uris", params=query, headers=headers(directory, "alice")).json()
    assert name in {entry["name"] for entry in found}


def test_the_commands_it_prints_work(directory: Path, served: ServedDemo) -> None:
    """The commands are run as they are printed, in a shell."""
    lines = [line.strip() for line in served.printed.splitlines()]
    setting = next(line for line in lines if line.startswith("TOKEN="))
    commands = [line for line in lines if line.startswith(("curl ", "DSERVER_DATA_DIR="))]
    assert len(commands) >= 6
    for command in commands:
        run = subprocess.run(["bash", "-ec", f"{setting}\n{command}"], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        answer = json.loads(run.stdout)
        assert answer or "free_text" in command  # the dataset about lung cancer may not be one of the few
        assert "code" not in answer, answer


def test_the_administrator_administers_and_the_user_does_not(directory: Path, served: ServedDemo) -> None:
    users = f"{served.address}/users"
    assert {user["username"] for user in requests.get(users, headers=headers(directory, "admin")).json()} == {
        "admin",
        "alice",
    }
    assert requests.get(users, headers=headers(directory, "alice")).status_code == 403
    me = requests.get(f"{served.address}/me", headers=headers(directory, "alice")).json()
    assert len(me["search_permissions_on_base_uris"]) == 2
    assert len(me["register_permissions_on_base_uris"]) == 1


def test_another_run_loses_nothing(directory: Path) -> None:
    """Not the keys, not what somebody changed; and a dataset that is missing is made again, the same one."""
    changed, removed = list(datasets_on_disk(directory).values())[:2]
    changed.put_tag("changed-by-hand")
    subprocess.run(["rm", "-r", f"{directory}/data/{removed.uri.split('/data/')[1]}"], check=True)
    keys = [(directory / name).read_text() for name in ("jwt_key", "jwt_key.pub", "secret_key")]

    again = run_demo("--directory", directory, "--datasets", DATASETS, "--no-serve")

    assert again.returncode == 0, again.stdout + again.stderr
    assert "1 packaged with dtool" in again.stdout
    assert keys == [(directory / name).read_text() for name in ("jwt_key", "jwt_key.pub", "secret_key")]
    assert "changed-by-hand" in datasets_on_disk(directory)[changed.name].list_tags()
    assert datasets_on_disk(directory)[removed.name].uuid == removed.uuid


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


def test_settings_of_the_persons_own_server_do_not_leak_in(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "SQLALCHEMY_DATABASE_URI", "sqlite:////nonexistent/other.db")
    monkeypatch.setitem(os.environ, "JWT_PRIVATE_KEY_FILE", "/nonexistent/key")
    monkeypatch.setitem(os.environ, "DSERVER_SEARCH_PLUGIN", "nonexistent")
    run = run_demo("--directory", directory, "--datasets", DATASETS, "--no-serve")
    assert run.returncode == 0, run.stdout + run.stderr


def test_control_c_ends_it_cleanly(served: ServedDemo) -> None:
    """The last test: it ends the server that the others use."""
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(timeout=START_SECONDS) == 0
