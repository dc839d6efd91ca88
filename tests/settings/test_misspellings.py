"""Variables that look like settings and are none are named, with the setting that was probably meant."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from dservercore.settings.misspellings import warnings
from support.live_server import APPLICATION, environment, flask
from support.waiting import free_port

MEANT = {
    "DSERVER_DATADIR": "DSERVER_DATA_DIR",
    "dserver_data_dir": "DSERVER_DATA_DIR",
    "DSERVER_SEARCHPLUGIN": "DSERVER_SEARCH_PLUGIN",
    "DSERVER_EXTENSION": "DSERVER_EXTENSIONS",
    "DSERVER_SECRET_KEY": "SECRET_KEY",
    "DSERVER_MONGO_URL": "DSERVER_MONGO_URI",
    "SEARCH_MONGO_URL": "SEARCH_MONGO_URI",
    "JWT_PUBLIC_KEYFILE": "JWT_PUBLIC_KEY_FILE",
    "JWT_PRIVATE_KEY": "JWT_PRIVATE_KEY_FILE",
    "SQLALCHEMY_DATABASE_URL": "SQLALCHEMY_DATABASE_URI",
    "SQLALCHEMY_DB_URI": "SQLALCHEMY_DATABASE_URI",
    "DISABLE_JWT_AUTHORIZATION": "DISABLE_JWT_AUTHORISATION",
    "DSEVER_DATA_DIR": "DSERVER_DATA_DIR",
    "DSERVR_WORKERS": "DSERVER_WORKERS",
    "D_SERVER_DATA_DIR": "DSERVER_DATA_DIR",
    "DSERVERDATADIR": "DSERVER_DATA_DIR",
    "DSERVER-DATA-DIR": "DSERVER_DATA_DIR",
    "DSERVER_CORS": "DSERVER_CORS_ORIGINS",
    "DSERVER_DATABASE_URI": "SQLALCHEMY_DATABASE_URI",
    "JWT_PUBLIC_KEY_PATH": "JWT_PUBLIC_KEY_FILE",
}


@pytest.mark.parametrize("variable", MEANT)
def test_the_nearest_name(variable: str) -> None:
    expected = f"{variable} is no setting, and is ignored: did you mean {MEANT[variable]}?"
    for is_alone in (True, False):
        assert list(warnings({variable: "x"}, [], is_alone)) == [expected]


@pytest.mark.parametrize(
    "variable",
    [
        "DSERVER_DATA_DIR",
        "DSERVER_NOTIFY_BUCKET_TO_BASE_URI",
        "DSERVER_MONGO_COLLECTION",
        "DSERVER_TEST_POSTGRESQL_URI",
        "DSERVER_FUZZ",
        "DSERVER_PORT_5000_TCP_ADDR",
        "DSERVER_SERVICE_HOST",
        "DSERVER_BACKEND_SERVICE_HOST",
        "DSERVER_BACKEND_PORT_5000_TCP",
        "DSERVER_TOKEN",
        "DSERVER_URL",
        "DSERVER_VERIFY_SSL",
        "SERVER_PORT",
        "SERVER_NAME",
        "DSERVER_WORKERS",
        "FLASK_SERVE_WORKERS",
        "FLASK_SECRET_KEY",
        "JWT_SECRET_KEY",
        "SECRET_KEY_BASE",
        "CONTENT_LENGTH",
        "MONGO_COLLECTION",
        "PGDATABASE",
        "MONGO_URI",
        "DATABASE_URL",
        "PATH",
        "HOME",
        "USER",
    ],
)
def test_what_is_somebody_elses(variable: str) -> None:
    assert list(warnings({variable: "x"}, [], True)) == []


@pytest.mark.parametrize("variable", ["DSERVER_PORT", "DSERVER_BACKEND_PORT"])
def test_what_kubernetes_says_of_a_service(variable: str) -> None:
    assert list(warnings({variable: "tcp://10.0.0.1:80"}, [], True)) == []


def test_the_port_is_not_what_kubernetes_says_of_a_service(tmp_path: Path) -> None:
    done = flask(
        tmp_path, "serve", "--host", "nowhere.invalid", DSERVER_PORT="tcp://10.0.0.1:80", DSERVER_WORKERS="1"
    )
    assert "DSERVER_PORT" not in done.stderr
    assert done.returncode != 2, done.stderr


def test_what_may_be_a_plugins() -> None:
    environ = {"DSERVER_COFFEE": "black"}
    assert list(warnings(environ, ["DSERVER_COFFEE"], True)) == []
    assert list(warnings(environ, [], is_alone=False)) == []
    [line] = warnings(environ, [], is_alone=True)
    assert line == "DSERVER_COFFEE is no setting of this server, and is ignored"


def test_a_command_says_it(tmp_path: Path) -> None:
    done = flask(tmp_path, "config", "show", DSERVER_DATADIR="/nowhere")
    assert done.returncode == 0
    assert done.stderr.count("did you mean DSERVER_DATA_DIR?") == 1


def test_of_several_workers_one_says_it(tmp_path: Path) -> None:
    assert flask(tmp_path, "init").returncode == 0
    log = tmp_path / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-w", "3", "-b", f"127.0.0.1:{free_port()}", APPLICATION],
            env=environment(tmp_path, DSERVER_DATADIR="/nowhere", DSERVER_LOG_LEVEL="DEBUG"),
            cwd=tmp_path,
            stderr=stream,
        )
        deadline = time.monotonic() + 60
        while log.read_text().count("Booting worker") < 3 or "did you mean" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        time.sleep(3)  # for the others to start
        process.terminate()
        process.wait(30)
    assert log.read_text().count("did you mean DSERVER_DATA_DIR?") == 1
