"""The settings: their names, defaults and meaning, how they are read, and how they are shown."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from dservercore import keys, secrecy
from dservercore.errors import ConfigurationError
from dservercore.schema_fields import MAX_JSON_DEPTH
from dservercore.text_query import MAX_QUERY_CHARACTERS

#: Settings that are never shown. Plugins add theirs for their own application (see ``PluginABC``).
CONFIG_EXCLUSIONS = ["JWT_PRIVATE_KEY", "SECRET_KEY", "SQLALCHEMY_DATABASE_URI"]

_NOT_SECRET = {"CONFIG_SECRETS_TO_OBFUSCATE"}

TRUE_WORDS = {"1", "true", "t", "yes", "y", "on"}
FALSE_WORDS = {"", "0", "false", "f", "no", "n", "off"}


def parse_bool(text: str | bool) -> bool:
    """Return what a word such as ``true``, ``No``, ``0`` or ``on`` means; empty is False.

    :raises ValueError: for any other word
    """
    word = str(text).strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("expected true or false")


def _parse_names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _parse_bytes(text: str) -> int:
    if not text.strip().isdecimal() or int(text) == 0:
        raise ValueError("expected a positive number of bytes")
    return int(text)


def _parse_number(text: str) -> int:
    return _number_up_to(text, 2**31)


def _parse_depth(text: str) -> int:
    return _number_up_to(text, MAX_JSON_DEPTH)


def _parse_query_length(text: str) -> int:
    return _number_up_to(text, MAX_QUERY_CHARACTERS)


def _number_up_to(text: str, most: int) -> int:
    if not text.strip().isdecimal() or not 0 < int(text[:20]) <= most:
        raise ValueError(f"expected a number from 1 to {most}")
    return int(text)


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 1e6:
        raise ValueError("expected a positive number of seconds")
    return seconds


_DURATION = re.compile(r"([0-9]+) ?([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _parse_duration(text: str) -> int:
    found = _DURATION.fullmatch(text.strip())
    if not found or not 0 < (seconds := int(found[1]) * _SECONDS[found[2]]) < 1e10:
        raise ValueError("expected a number and a unit (s, m, h, d or w), such as 12h or 30d")
    return seconds


def _parse_duration_if_any(text: str) -> int | None:
    return _parse_duration(text) if text.strip() else None


def _parse_whole_seconds(text: str) -> int:
    if not text.strip().isdecimal() or int(text) >= 1e10:
        raise ValueError("expected a number of seconds")
    return int(text)


def _parse_networks(text: str) -> list[str]:
    return [item if item == "unix" else _parse_network(item) for item in _parse_names(text)]


def _parse_network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is no address or network; expected some such as 127.0.0.1, 10.0.0.0/8 or unix"
        ) from None


_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def _parse_origins(text: str) -> list[str]:
    origins = _parse_names(text)
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError("expected * or origins such as https://lookup.example.org, without a path")
    return origins


_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]+")


def _parse_headers(text: str) -> dict[str, str | None]:
    try:
        headers = json.loads(text) if text.strip() else {}
    except ValueError:
        headers = None
    if not isinstance(headers, dict) or not all(
        _HEADER_NAME.fullmatch(name)
        and (value is None or (isinstance(value, str) and _HEADER_VALUE.fullmatch(value)))
        for name, value in headers.items()
    ):
        raise ValueError('expected a JSON object such as {"X-Frame-Options": null}')
    return headers


def _parse_level(text: str) -> str:
    level = text.strip().upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise ValueError("expected DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return level


@dataclass(frozen=True)
class Setting:
    """One environment variable.

    :param default: the value when the variable is not set, or a word on where it comes from
    :param parse: turns the text into the value; a ValueError of it names the setting
    """

    name: str
    default: Any
    help: str
    parse: Callable[[str], Any] = str


SETTINGS = [
    Setting("DSERVER_SEARCH_PLUGIN", "", "Entry point of the search plugin; empty: chosen automatically."),
    Setting(
        "DSERVER_RETRIEVE_PLUGIN", "", "Entry point of the retrieve plugin; empty: chosen automatically."
    ),
    Setting("DSERVER_EXTENSIONS", [], "Bundled extensions to load, comma-separated.", _parse_names),
    Setting(
        "DSERVER_UPDATE_STORAGE",
        True,
        "Write edited READMEs, tags and annotations to the datasets too.",
        parse_bool,
    ),
    Setting(
        "DSERVER_LOG_LEVEL", "INFO", "Least level that is logged: DEBUG, INFO, WARNING, ERROR.", _parse_level
    ),
    Setting(
        "DISABLE_JWT_AUTHORISATION", False, "Serve everybody as DEFAULT_USER, without tokens.", parse_bool
    ),
    Setting("DEFAULT_USER", "testuser", "Who everybody is when tokens are disabled; must be registered."),
    Setting(
        "MAX_CONTENT_LENGTH",
        256 * 2**20,
        "Largest request body in bytes; larger ones get a 413.",
        _parse_bytes,
    ),
    Setting("DSERVER_MAX_TAGS", 10_000, "Most tags that a dataset may have; more get a 422.", _parse_number),
    Setting(
        "DSERVER_MAX_README_LENGTH",
        2**20,
        "Longest README in characters; a longer one gets a 422.",
        _parse_number,
    ),
    Setting(
        "DSERVER_MAX_ANNOTATIONS_LENGTH",
        2**19,
        "Most that the annotations of a dataset may take together, in bytes of JSON; more get a 422.",
        _parse_number,
    ),
    Setting(
        "DSERVER_MAX_ANNOTATION_DEPTH",
        MAX_JSON_DEPTH,
        f"Most levels of nesting in an annotation, at most {MAX_JSON_DEPTH}; more get a 422.",
        _parse_depth,
    ),
    Setting(
        "DSERVER_MAX_MANIFEST_BYTES",
        512 * 2**20,
        "Largest manifest, in bytes, that is read from storage; a dataset with a larger one is not registered.",
        _parse_bytes,
    ),
    Setting(
        "DSERVER_STORAGE_TIMEOUT",
        300.0,
        "Seconds to wait for one dataset in storage that is not a directory of this machine.",
        _parse_seconds,
    ),
    Setting(
        "DSERVER_MAX_QUERY_LENGTH",
        MAX_QUERY_CHARACTERS,
        f"Longest free_text of a search in characters, at most {MAX_QUERY_CHARACTERS}; a longer one gets a 422.",
        _parse_query_length,
    ),
    Setting(
        "DSERVER_SEARCH_TIMEOUT",
        10.0,
        "Seconds that one search may take; one that would take longer gets a 503.",
        _parse_seconds,
    ),
    Setting(
        "DSERVER_TRUSTED_PROXIES",
        [],
        "Addresses and networks of proxies whose X-Forwarded-For, -Proto, -Host and -Prefix count, comma-separated;"
        " `unix` for one that connects through a Unix socket.",
        _parse_networks,
    ),
    Setting(
        "DSERVER_CORS_ORIGINS",
        ["*"],
        "Origins of web pages that may read answers, comma-separated; `*`: all; empty: none.",
        _parse_origins,
    ),
    Setting(
        "DSERVER_SECURITY_HEADERS",
        {},
        "Headers to set on every answer, as a JSON object; null: to leave one out that is set by default.",
        _parse_headers,
    ),
    Setting(
        "DSERVER_HSTS_SECONDS",
        0,
        "How long browsers are to insist on TLS (Strict-Transport-Security); 0: they are told nothing.",
        _parse_whole_seconds,
    ),
    Setting(
        "JWT_ACCESS_TOKEN_EXPIRES",
        900,
        "How long tokens of `flask user token` work, unless it is told: a number and s, m, h, d or w. In seconds.",
        _parse_duration,
    ),
    Setting(
        "DSERVER_MAX_TOKEN_LIFETIME",
        None,
        "Longest lifetime of a token that is accepted, such as 30d. Tokens that live longer, or for ever, get a 401;"
        " empty: any lifetime is accepted.",
        _parse_duration_if_any,
    ),
    Setting(
        "JWT_DECODE_LEEWAY",
        0,
        "Seconds by which the clock of the server that makes tokens may differ from this one's.",
        _parse_whole_seconds,
    ),
    Setting(
        "JWT_DECODE_ISSUER",
        None,
        "Issuer (`iss`) that tokens must name; empty: it is not looked at.",
        lambda text: text or None,
    ),
    Setting(
        "JWT_DECODE_AUDIENCE",
        None,
        "Audiences (`aud`), comma-separated, of which tokens must name one; empty: it is not looked at.",
        lambda text: _parse_names(text) or None,
    ),
    Setting("OPENAPI_URL_PREFIX", "/doc", "Path under which the API documentation is served."),
    Setting("OPENAPI_REDOC_PATH", "/redoc", "Path of the ReDoc page below the prefix."),
    Setting("OPENAPI_SWAGGER_UI_PATH", "/swagger", "Path of the Swagger UI page below the prefix."),
    Setting("OPENAPI_REDOC_URL", "", "Address of the ReDoc script; empty: the one in the package."),
    Setting("OPENAPI_SWAGGER_UI_URL", "", "Address of the Swagger UI files; empty: those in the package."),
]

#: Settings that are not read from one variable alone; documented here, read in :func:`read_environment`.
DERIVED_SETTINGS = [
    Setting(
        "DSERVER_DATA_DIR",
        "the user's data directory",
        "Directory of the database and keys made by `flask init`.",
    ),
    Setting(
        "SQLALCHEMY_DATABASE_URI",
        "SQLite file app.db in DSERVER_DATA_DIR",
        "Database of the administrative metadata.",
    ),
    Setting(
        "JWT_PUBLIC_KEY", "", "Public key, PEM or OpenSSH text; both key files are ignored when it is set."
    ),
    Setting(
        "JWT_PUBLIC_KEY_FILE", "jwt_key.pub in DSERVER_DATA_DIR", "File with the key that verifies tokens."
    ),
    Setting("JWT_PRIVATE_KEY_FILE", "jwt_key in DSERVER_DATA_DIR", "File with the key that signs tokens."),
    Setting(
        "SECRET_KEY",
        "made once, kept in DSERVER_DATA_DIR",
        "Key with which Flask signs sessions, if a plugin uses any; one that can be guessed stops the server.",
    ),
    Setting(
        "API_SPEC_OPTIONS", "bearer authentication", "Extra content of the OpenAPI document, as JSON text."
    ),
    Setting("API_SPEC_OPTIONS_FILE", "", "The same from a file."),
]

FIXED = {
    "API_TITLE": "dserver API",
    "API_VERSION": "v1",
    "OPENAPI_VERSION": "3.0.2",
    "JWT_ALGORITHM": "RS256",
    "JWT_TOKEN_LOCATION": "headers",
    "JWT_HEADER_NAME": "Authorization",
    "JWT_HEADER_TYPE": "Bearer",
    "SQLALCHEMY_TRACK_MODIFICATIONS": False,
}

BEARER_AUTHENTICATION = {
    "security": [{"bearerAuth": []}],
    "components": {
        "securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    },
}


# Of another kind they would break the page that shows the API.
_KINDS_OF_SPEC_OPTIONS = {"info": dict, "components": dict, "security": list, "servers": list, "tags": list}


def read_environment(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the whole configuration that the environment asks for.

    :raises ConfigurationError: in one line, naming the setting that is wrong
    """
    data_dir = data_directory(environ)
    if data_dir.exists() and not data_dir.is_dir():
        raise ConfigurationError(f"DSERVER_DATA_DIR: {data_dir} is not a directory")
    return {
        **FIXED,
        **{setting.name: _read(setting, environ) for setting in SETTINGS},
        **_read_jwt_keys(environ, data_dir),
        "API_SPEC_OPTIONS": _read_api_spec_options(environ),
        "CONFIG_SECRETS_TO_OBFUSCATE": list(CONFIG_EXCLUSIONS),
        "DSERVER_DATA_DIR": str(data_dir),
        "SECRET_KEY": keys.secret_key(environ.get("SECRET_KEY"), data_dir),
        "SQLALCHEMY_DATABASE_URI": environ.get("SQLALCHEMY_DATABASE_URI")
        or f"sqlite:///{data_dir / 'app.db'}",
    }


def data_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of the embedded database and the generated keys, which may not exist yet."""
    configured = environ.get("DSERVER_DATA_DIR")
    return (
        Path(configured).expanduser().absolute()
        if configured
        else user_data_path("dservercore", appauthor=False)
    )


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return *config*, given in code instead of the environment, completed by what the server cannot do without.

    Text counts as it would in the environment: ``"False"`` is no.

    :raises ConfigurationError: in one line, naming the setting that is wrong
    """
    texts = {name: value for name, value in config.items() if isinstance(value, str)}
    return {
        **FIXED,
        **{setting.name: setting.default for setting in SETTINGS},
        "API_SPEC_OPTIONS": BEARER_AUTHENTICATION,
        "CONFIG_SECRETS_TO_OBFUSCATE": list(CONFIG_EXCLUSIONS),
        "SQLALCHEMY_DATABASE_URI": "sqlite:///:memory:",
        **config,
        **{setting.name: _read(setting, texts) for setting in SETTINGS if setting.name in texts},
    }


def _read(setting: Setting, environ: Mapping[str, str]) -> Any:
    text = environ.get(setting.name)
    if text is None:
        return setting.default
    try:
        return setting.parse(text)
    except ValueError as error:
        raise ConfigurationError(secrecy.masked(f"{setting.name}={text!r}: {error}")) from None


def _read_jwt_keys(environ: Mapping[str, str], data_dir: Path) -> dict[str, Any]:
    """Return the keys as PEM text; "" for one that there is not, which leaves the server unable to use it."""
    if environ.get("JWT_PUBLIC_KEY"):
        public = keys.public_key_pem(environ["JWT_PUBLIC_KEY"], "JWT_PUBLIC_KEY")
        return {"JWT_PUBLIC_KEY": public, "JWT_PRIVATE_KEY": ""}
    private_file, public_file = environ.get("JWT_PRIVATE_KEY_FILE"), environ.get("JWT_PUBLIC_KEY_FILE")
    if not private_file and not public_file:
        private_file = _if_exists(data_dir / keys.PRIVATE_KEY_NAME)
        public_file = _if_exists(data_dir / keys.PUBLIC_KEY_NAME)
    public = private = ""
    if private_file:
        text = keys.read_key_file(private_file, "JWT_PRIVATE_KEY_FILE")
        private = keys.private_key_pem(text, "JWT_PRIVATE_KEY_FILE")
        if not public_file:
            public = keys.public_from_private(text, "JWT_PRIVATE_KEY_FILE")
    if public_file:
        text = keys.read_key_file(public_file, "JWT_PUBLIC_KEY_FILE")
        public = keys.public_key_pem(text, "JWT_PUBLIC_KEY_FILE")
    return {
        "JWT_PUBLIC_KEY": public,
        "JWT_PRIVATE_KEY": private,
        "JWT_PUBLIC_KEY_FILE": public_file,
        "JWT_PRIVATE_KEY_FILE": private_file,
    }


def _if_exists(path: Path) -> str | None:
    return str(path) if path.exists() else None


def _read_api_spec_options(environ: Mapping[str, str]) -> dict[str, Any]:
    name, text = "API_SPEC_OPTIONS", environ.get("API_SPEC_OPTIONS")
    if not text and environ.get("API_SPEC_OPTIONS_FILE"):
        name = "API_SPEC_OPTIONS_FILE"
        text = keys.read_key_file(environ[name], name)
    if not text:
        return BEARER_AUTHENTICATION
    try:
        options = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{name}: not JSON: {error}") from None
    if not isinstance(options, dict):
        raise ConfigurationError(f"{name}: expected a JSON object")
    for key, kind in _KINDS_OF_SPEC_OPTIONS.items():
        if not isinstance(options.get(key, kind()), kind):
            raise ConfigurationError(f"{name}: {key} must be {'an object' if kind is dict else 'a list'}")
    return options


def shown(config: Mapping[str, Any], exclusions: Iterable[str] = ()) -> dict[str, Any]:
    """Return *config* as an administrator may show it to others.

    Only all-upper-case keys; values that are not JSON as text; secrets as ``***``: those in *exclusions* or listed
    under ``CONFIG_SECRETS_TO_OBFUSCATE``, and whatever is named like one, or is an address with a password in it.
    """
    listed = {*config.get("CONFIG_SECRETS_TO_OBFUSCATE", ()), *CONFIG_EXCLUSIONS, *exclusions}
    return {key: _shown_value(key, value, listed) for key, value in config.items() if key.isupper()}


def _shown_value(key: str, value: Any, listed: set[str]) -> Any:
    """Return what may be shown of a setting, or of a part of one, such as the options of a database connection."""
    if key in listed or (key not in _NOT_SECRET and secrecy.is_secret(key) and value):
        return secrecy.HIDDEN
    if isinstance(value, Mapping):
        return {str(name): _shown_value(str(name), part, listed) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown_value("", part, listed) for part in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return secrecy.masked(str(value))


def __getattr__(name: str) -> Any:
    # ``Config`` is for plugin authors: a class with the settings as attributes, as they are when it is imported.
    if name == "Config":
        return type("Config", (), read_environment())
    raise AttributeError(name)
