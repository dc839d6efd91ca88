"""Addresses of databases are shown without the secrets in them."""

from __future__ import annotations

import pytest

from dservercore.settings.shown_addresses import hidden_options, is_address, shown

pytestmark = pytest.mark.attack

SECRET = "hunter2"


@pytest.mark.parametrize(
    "address",
    [
        "mongodb://localhost:27017/",
        "mongodb://localhost",
        "mongodb://olga@db.example.org/lab",
        "mongodb+srv://cluster.example.org/lab?authSource=admin&retryWrites=true&w=majority",
        "mongodb://one:27017,two:27018/?replicaSet=rs&readPreference=nearest",
        "mysql+pymysql://root@127.0.0.1/test?charset=utf8mb4&unix_socket=/run/mysqld.sock",
        "postgresql://%2Frun%2Fpostgresql/lab",
        "postgresql+psycopg://[::1]:5432/lab?sslmode=require&connect_timeout=3",
        "redis://cache:6379/0",
    ],
)
def test_what_is_no_secret_stays(address: str) -> None:
    assert is_address(address)
    assert shown(address) == address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("mongodb://olga:hunter2@db/lab", "mongodb://olga:***@db/lab"),
        ("mongodb://olga%40lab:hunter2@db", "mongodb://olga%40lab:***@db"),
        ("MongoDB://olga:hunter2@db", "MongoDB://olga:***@db"),
        ("redis://:hunter2@cache:6379/0", "redis://:***@cache:6379/0"),
        ("redis://hunter2@cache", "redis://***@cache"),
        ("postgresql://db/lab?user=olga&password=hunter2", "postgresql://db/lab?user=olga&password=***"),
        ("postgresql://db/lab?sslpassword=hunter2", "postgresql://db/lab?sslpassword=***"),
        ("mysql://db/lab?passwd=hunter2&ssl=true", "mysql://db/lab?passwd=***&ssl=true"),
        (
            "mongodb://db/?authMechanismProperties=AWS_SESSION_TOKEN:hunter2",
            "mongodb://db/?authMechanismProperties=***",
        ),
        (
            "mongodb://db/?tlsCertificateKeyFilePassword=hunter2;tls=true",
            "mongodb://db/?tlsCertificateKeyFilePassword=***;tls=true",
        ),
        ("mongodb://db/?pass%77ord=hunter2", "mongodb://db/?pass%77ord=***"),
        ("mongodb://db/?whatever=hunter2", "mongodb://db/?whatever=***"),
        ("mongodb://db/?hunter2", "mongodb://db/?***"),
    ],
)
def test_a_secret_is_replaced(address: str, expected: str) -> None:
    assert shown(address) == expected


@pytest.mark.parametrize(
    "password", ["a/hunter2", "a?hunter2", "a#hunter2", "a@hunter2", "a:hunter2", "@hunter2@", "hunter2/?x=@"]
)
@pytest.mark.parametrize("scheme", ["mongodb", "postgresql", "mysql+pymysql"])
def test_a_password_that_was_not_escaped_does_not_show(scheme: str, password: str) -> None:
    assert SECRET not in shown(f"{scheme}://olga:{password}@db/lab?ssl=true")


@pytest.mark.parametrize(
    "address",
    [
        "mongodb://olga:hunter2",
        "mongodb://db:hunter2/",
        "mongodb://db/lab#hunter2",
        "mongodb://db/lab;password=hunter2",
        "mongodb://db hunter2/",
        "mongodb://olga:hunter2@db\nmore",
        "mongodb://olga@hunter2@db@",
    ],
)
def test_what_cannot_be_understood_is_hidden_as_a_whole(address: str) -> None:
    assert shown(address) == "***"


@pytest.mark.parametrize(
    "text", ["hunter2", "https://olga:hunter2@example.org", "sqlite:////srv/app.db", " mongodb://db", ""]
)
def test_what_is_no_database_server(text: str) -> None:
    assert not is_address(text)


def test_hidden_options_are_kept_out_of_the_log_too() -> None:
    address = "mongodb://db/?authSource=admin&authMechanismProperties=AWS_SESSION_TOKEN:hunter2"
    assert hidden_options(address) == ["AWS_SESSION_TOKEN:hunter2"]
