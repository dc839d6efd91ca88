"""Who may notify the server, and what the others try."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dservercore import create_app
from dservercore.errors import ConfigurationError
from dservercore.settings import configuration
from support.world import RED
from support.worlds import World, world

from .bodies import UUID, aws, of_aws
from .conftest import PATH, SETTINGS, Inbox

pytestmark = pytest.mark.attack

SECRET = "correct-horse_battery.staple~7"
MESSAGE = of_aws(aws())
URI = f"{RED}/{UUID}"

#: What clients say about where they come from.
SPOOFED = [
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-For": "127.0.0.1, 10.1.1.1, 127.0.0.1"},
    {"X-Real-IP": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1"},
    {"HTTP_X_REAL_IP": "127.0.0.1"},
    {"X-Client-IP": "127.0.0.1", "True-Client-IP": "127.0.0.1"},
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
    """A server with a secret, in two networks, behind a proxy."""
    settings = {
        **SETTINGS,
        "DSERVER_NOTIFY_SECRET": SECRET,
        "DSERVER_NOTIFY_ALLOW_ACCESS_FROM": "10.0.0.0/8, 2001:db8::/32",
        "DSERVER_TRUSTED_PROXIES": ["192.0.2.1"],
        "DSERVER_LOG_LEVEL": "INFO",
    }
    with world(tmp_path_factory.mktemp("guarded"), key_pair, **settings) as standing:
        yield standing


@pytest.fixture
def secret(guarded: World) -> Iterator[Inbox]:
    yield Inbox(guarded)
    Inbox(guarded).empty()


@pytest.mark.parametrize("headers", SPOOFED)
def test_nobody_comes_from_elsewhere_than_from_where_the_connection_comes(
    notified: Inbox, headers: dict[str, str]
) -> None:
    for address in ("10.1.1.1", "127.0.0.2", "::1", "not an address", ""):
        answer = notified.post(json=MESSAGE, address=address, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (403, 403)
    assert notified.jobs() == []


def test_this_machine_is_known_by_its_address_in_either_form(notified: Inbox) -> None:
    for address in ("127.0.0.1", "::ffff:127.0.0.1"):
        assert notified.take(MESSAGE, address=address) == [URI]


def test_a_proxy_that_is_not_trusted_and_a_page_in_a_browser_are_not_let_in(notified: Inbox) -> None:
    for headers in ({"X-Forwarded-For": "127.0.0.1"}, {"Origin": "https://example.org"}):
        assert notified.post(json=MESSAGE, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PATH, {"Authorization": f"Bearer {SECRET}"}),
        (PATH, {"Authorization": f"bearer  {SECRET}"}),
        (f"{PATH}/any/path", {"Authorization": f"Bearer {SECRET}"}),
        (PATH, {"Authorization": f"Basic {base64.b64encode(f'minio:{SECRET}'.encode()).decode()}"}),
        (f"{PATH}/{SECRET}", {}),
        (f"{PATH}/red/events/{SECRET}", {}),
    ],
)
def test_the_secret_and_the_network_let_in(secret: Inbox, path: str, headers: dict[str, str]) -> None:
    for address in ("10.1.1.1", "2001:db8::7"):
        assert secret.take(MESSAGE, path=path, headers=headers, address=address) == [URI]
    from_proxy = {**headers, "X-Forwarded-For": "127.0.0.1, 10.2.3.4"}
    assert secret.take(MESSAGE, path=path, headers=from_proxy, address="192.0.2.1") == [URI]
    for address in ("127.0.0.1", "11.0.0.1"):
        assert secret.post(path, json=MESSAGE, headers=headers, address=address).status_code == 403


@pytest.mark.parametrize(
    ("path", "authorization"),
    [
        (PATH, ""),
        (PATH, "Bearer"),
        (PATH, f"Bearer {SECRET[:-1]}"),
        (PATH, f"Bearer {SECRET}x"),
        (PATH, f"Bearer {SECRET.upper()}"),
        (PATH, f"Digest {SECRET}"),
        (PATH, f"Basic {SECRET}"),
        (PATH, f"Basic {base64.b64encode(SECRET.encode()).decode()}"),
        (PATH, "Basic ////"),
        (PATH, "Bearer \u00fc\u00fc"),
        (f"{PATH}/{SECRET}/", ""),
        (f"{PATH}/{SECRET}/x", ""),
        (f"{PATH}/{SECRET}%00", ""),
        (f"{PATH}/%FF", ""),
        (f"{PATH}/x/..%2f{SECRET}x", ""),
    ],
)
def test_a_guess_is_refused_and_nothing_of_the_body_is_told(
    secret: Inbox, path: str, authorization: str
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answers = {
        (answer.status_code, answer.text)
        for body in (MESSAGE, {}, [], of_aws(aws(bucket="purple")))
        for answer in [secret.post(path, json=body, headers=headers, address="10.1.1.1")]
    }
    assert [status for status, _ in answers] == [403]
    assert secret.jobs() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"{PATH}/{SECRET}"), ("HEAD", f"{PATH}/{SECRET}"), ("POST", f"/webhook/notfy/{SECRET}")],
)
def test_nor_is_it_where_somebody_tries_the_address(
    secret: Inbox, caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    with caplog.at_level(logging.INFO, "dservercore.requests"):
        answer = secret.standing.app.test_client().open(path, method=method)
    assert answer.status_code in (404, 405)
    assert "***" in caplog.text
    assert SECRET not in caplog.text + answer.text


def test_the_secret_is_not_in_the_log_nor_in_the_configuration(
    secret: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "dservercore.requests"):
        secret.take(MESSAGE, path=f"{PATH}/{SECRET}", address="10.1.1.1")
        secret.post(f"{PATH}/x/{SECRET}", json={}, address="10.1.1.1")
    lines = [record.getMessage() for record in caplog.records]
    assert sum("/webhook/notify" in line for line in lines) == 2
    assert not any(SECRET in line for line in lines)
    assert f"POST {PATH}/x/*** 400 " in lines[1]
    shown = secret.standing.send("GET", "/config/info").json["config"]
    assert shown["dserver_notify_secret"] == "***"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("DSERVER_NOTIFY_SECRET", "hunter2"),
        ("DSERVER_NOTIFY_SECRET", "with/slashes/in/the/middle"),
        ("DSERVER_NOTIFY_ALLOW_ACCESS_FROM", "example.org"),
        ("DSERVER_NOTIFY_BUCKET_TO_BASE_URI", "red=s3://red"),
        ("DSERVER_NOTIFY_BUCKET_TO_BASE_URI", '{"red": "red"}'),
        ("DSERVER_NOTIFY_BUCKET_TO_BASE_URI", '["red"]'),
        ("DSERVER_NOTIFY_SNS_TOPICS", "datasets"),
        ("DSERVER_NOTIFY_SNS_ENDPOINT", "file:///etc/passwd"),
    ],
)
def test_a_setting_that_is_wrong_stops_the_server(tmp_path: Path, setting: str, value: str) -> None:
    config = {
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'a.db'}",
        "DSERVER_EXTENSIONS": ["notification"],
        setting: value,
    }
    with pytest.raises(ConfigurationError, match=setting) as error:
        create_app(config)
    if setting.endswith("SECRET"):
        assert value not in str(error.value)


def test_the_secret_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    monkeypatch.setenv("DSERVER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DSERVER_EXTENSIONS", "notification")
    monkeypatch.setenv("DSERVER_NOTIFY_SECRET_FILE", str(file))
    config = create_app().config
    assert config["DSERVER_NOTIFY_SECRET"] == SECRET
    assert configuration.shown(config)["DSERVER_NOTIFY_SECRET"] == "***"
    for content, secret in (("", ""), ("hunter2", ""), (SECRET, SECRET)):
        file.write_text(content)
        monkeypatch.setenv("DSERVER_NOTIFY_SECRET", secret)
        with pytest.raises(ConfigurationError, match="DSERVER_NOTIFY_SECRET_FILE: ") as error:
            create_app()
        assert "hunter2" not in str(error.value)
