"""Settings on proxies, headers, origins and tokens: what they take, and that anything else stops the server."""

from __future__ import annotations

import pytest

from dservercore.errors import ConfigurationError
from dservercore.settings.configuration import with_defaults

SITE = "https://lookup.example.org"


@pytest.mark.parametrize(
    "value",
    [
        "nosniff",
        "[]",
        '{"a b": "c"}',
        '{"A": 1}',
        '{"A": "x\\r\\nSet-Cookie: a=b"}',
        '{"A": ""}',
        '{"A": "\u00e9"}',
    ],
)
def test_what_is_no_header_stops_the_server(value):
    with pytest.raises(ConfigurationError, match="DSERVER_SECURITY_HEADERS="):
        with_defaults({"DSERVER_SECURITY_HEADERS": value})


@pytest.mark.parametrize(
    "value", ["example.org", f"{SITE}/", f"{SITE}/path", "https://*.example.org", "null", ".*"]
)
def test_what_is_no_origin_stops_the_server(value):
    with pytest.raises(ConfigurationError, match="DSERVER_CORS_ORIGINS="):
        with_defaults({"DSERVER_CORS_ORIGINS": value})


@pytest.mark.parametrize("value", ["1", "h", "-1h", "0d", "1 month", "99999999999d"])
@pytest.mark.parametrize("name", ["DSERVER_MAX_TOKEN_LIFETIME", "JWT_ACCESS_TOKEN_EXPIRES"])
def test_what_is_no_lifetime_stops_the_server(name, value):
    with pytest.raises(ConfigurationError, match=rf"{name}=.*expected a number and a unit"):
        with_defaults({name: value})


@pytest.mark.parametrize("value", ["nginx", "10.0.0.0/99", "10.0.0.1/8", "10.0.0.1 10.0.0.2", "*"])
def test_what_is_no_proxy_stops_the_server(value):
    with pytest.raises(ConfigurationError, match=r"DSERVER_TRUSTED_PROXIES=.*no address or network"):
        with_defaults({"DSERVER_TRUSTED_PROXIES": value})


def test_networks_are_read():
    read = with_defaults({"DSERVER_TRUSTED_PROXIES": "127.0.0.1, ::1,10.0.0.0/8,unix,"})[
        "DSERVER_TRUSTED_PROXIES"
    ]
    assert read == ["127.0.0.1/32", "::1/128", "10.0.0.0/8", "unix"]
