"""The configuration of an application: read from the environment, completed, and shown."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from dservercore.errors import ConfigurationError
from dservercore.settings import (
    database_address,
    keys,
    named_files,
    oidc_providers,
    secrecy,
    shown_addresses,
)
from dservercore.settings.table import (
    BEARER_AUTHENTICATION,
    CONFIG_EXCLUSIONS,
    DERIVED_SETTINGS,
    FIXED,
    OIDC_PROVIDERS,
    SETTINGS,
    Setting,
)

_NAMES = {*FIXED, *(setting.name for setting in [*SETTINGS, *DERIVED_SETTINGS])}

_NOT_SECRET = {"CONFIG_SECRETS_TO_OBFUSCATE"}


# Options of another kind would break the page that shows the API.
_KINDS_OF_SPEC_OPTIONS = {"info": dict, "components": dict, "security": list, "servers": list, "tags": list}


def read_environment(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the whole configuration that the environment asks for.

    :raises ConfigurationError: in one line, naming the setting that is wrong
    """
    of_providers = _settings_of_providers(_texts(SETTINGS, environ))
    environ = _texts([*SETTINGS, *of_providers, *DERIVED_SETTINGS], environ)
    data_dir = data_directory(environ)
    named_files.require_usable_directory(data_dir, "DSERVER_DATA_DIR")
    values = {setting.name: _read(setting, environ) for setting in [*SETTINGS, *of_providers]}
    return {
        **FIXED,
        **values,
        **oidc_providers.completed(values),
        **_read_jwt_keys(environ, data_dir),
        **_read_password("DSERVER_LDAP_BIND_PASSWORD", environ),
        **_read_metrics_token(environ),
        "API_SPEC_OPTIONS": _read_api_spec_options(environ),
        "CONFIG_SECRETS_TO_OBFUSCATE": list(CONFIG_EXCLUSIONS),
        "DSERVER_DATA_DIR": str(data_dir),
        "SECRET_KEY": keys.secret_key(environ.get("SECRET_KEY"), data_dir),
        "SQLALCHEMY_DATABASE_URI": database_address.with_driver(
            environ.get("SQLALCHEMY_DATABASE_URI") or database_address.of_file(data_dir / "app.db")
        ),
    }


def _texts(settings: Iterable[Setting], environ: Mapping[str, str]) -> dict[str, str]:
    return {s.name: _text(s.name, environ[s.name]) for s in settings if s.name in environ}


def _settings_of_providers(texts: Mapping[str, Any]) -> list[Setting]:
    """Return the settings that the providers have which a configuration names.

    :raises ConfigurationError: if it names them wrongly
    """
    by_name = {setting.name: setting for setting in SETTINGS}
    named = texts.get(OIDC_PROVIDERS, "")
    names = _read(by_name[OIDC_PROVIDERS], {OIDC_PROVIDERS: named}) if isinstance(named, str) else named
    return oidc_providers.settings_of(names)


def read_settings(
    settings: Iterable[Setting], config: Mapping[str, Any], environ: Mapping[str, str] | None = os.environ
) -> dict[str, Any]:
    """Return the values of the settings of a plugin.

    :param config: the configuration without them
    :param environ: where they are read from; None: they are in *config*, as values or as text
    :raises ConfigurationError: in one line, naming the setting that is wrong
    """
    values = {}
    for setting in settings:
        if setting.name in _NAMES:
            raise ConfigurationError(f"{setting.name}: a plugin cannot have a setting of the server")
        if environ is None:
            given = config.get(setting.name, setting.default)
            values[setting.name] = (
                _read(setting, {setting.name: given}) if isinstance(given, str) and given else given
            )
        else:
            texts = {name: _text(name, environ[name]) for name in (setting.name,) if name in environ}
            values[setting.name] = _read(setting, texts)
    return values


def _text(name: str, text: str) -> str:
    """Return the value of a variable without spaces and quotes around it, which some readers of ``.env`` files leave.

    :raises ConfigurationError: if it is not in UTF-8
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{name}: not text in UTF-8") from None
    if name in ("SECRET_KEY", "DSERVER_LDAP_BIND_PASSWORD"):  # any character may be part of it
        return text
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def data_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of the embedded database and the generated keys, which may not exist yet.

    :raises ConfigurationError: if it is not configured, and the user has no home directory
    """
    configured = environ.get("DSERVER_DATA_DIR")
    if configured:
        return named_files.path_of(configured, "DSERVER_DATA_DIR")
    usual = user_data_path("dservercore", appauthor=False)
    if not usual.is_absolute():
        raise ConfigurationError(
            f"DSERVER_DATA_DIR: not set, and the user {named_files.user_name()} has no home directory:"
            " set it to the path of a directory, for the database and the keys"
        )
    return usual


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return *config*, given in code instead of the environment, completed by what the server cannot do without.

    Text counts as it would in the environment: ``"False"`` is no.

    :raises ConfigurationError: in one line, naming the setting that is wrong
    """
    texts = {name: value for name, value in config.items() if isinstance(value, str)}
    settings = [*SETTINGS, *_settings_of_providers(config)]
    database = config.get("SQLALCHEMY_DATABASE_URI") or "sqlite:///:memory:"
    if config.get("DSERVER_METRICS_TOKEN"):
        keys.metrics_token(config["DSERVER_METRICS_TOKEN"], "DSERVER_METRICS_TOKEN")
    values = {
        **FIXED,
        **{setting.name: setting.default for setting in settings},
        "API_SPEC_OPTIONS": BEARER_AUTHENTICATION,
        "CONFIG_SECRETS_TO_OBFUSCATE": list(CONFIG_EXCLUSIONS),
        **config,
        "SQLALCHEMY_DATABASE_URI": database_address.with_driver(database),
        **{setting.name: _read(setting, texts) for setting in settings if setting.name in texts},
    }
    return values | oidc_providers.completed(values)


_TOKEN_LOCATIONS = ("headers", "cookies", "query_string")


def checked_token_locations(locations: Any) -> str | list[str]:
    """Return where tokens are looked for: one name as it is, several in their order.

    :param locations: a name, or any collection of names
    :raises ConfigurationError: for any other place: bodies are read by routes, which refuse what they do not know
    """
    names = [locations] if isinstance(locations, str) else list(locations or ())
    if not names or any(name not in _TOKEN_LOCATIONS for name in names):
        raise ConfigurationError("JWT_TOKEN_LOCATION: expected some of headers, cookies and query_string")
    if isinstance(locations, str):
        return locations
    return sorted(names, key=_TOKEN_LOCATIONS.index) if isinstance(locations, (set, frozenset)) else names


def _read(setting: Setting, environ: Mapping[str, str]) -> Any:
    text = environ.get(setting.name)
    if text is None:
        return setting.default
    try:
        return setting.parse(text)
    except ValueError as error:
        raise ConfigurationError(
            secrecy.masked(f"{setting.name}={named_files.shown(text)!r}: {error}")
        ) from None


def _read_jwt_keys(environ: Mapping[str, str], data_dir: Path) -> dict[str, Any]:
    """Return the keys as PEM text by setting; ``""`` for a key that there is not, which the server then cannot use."""
    if environ.get("JWT_PUBLIC_KEY"):
        public = keys.public_key_pem(environ["JWT_PUBLIC_KEY"], "JWT_PUBLIC_KEY")
        return {"JWT_PUBLIC_KEY": public, "JWT_PRIVATE_KEY": ""}
    private_file, public_file = environ.get("JWT_PRIVATE_KEY_FILE"), environ.get("JWT_PUBLIC_KEY_FILE")
    if not private_file and not public_file:
        private_file = _if_there(data_dir / keys.PRIVATE_KEY_NAME, "JWT_PRIVATE_KEY_FILE")
        public_file = _if_there(data_dir / keys.PUBLIC_KEY_NAME, "JWT_PUBLIC_KEY_FILE")
    public = private = ""
    if private_file:
        text = named_files.text_of(private_file, "JWT_PRIVATE_KEY_FILE")
        private = keys.private_key_pem(text, "JWT_PRIVATE_KEY_FILE")
        if not public_file:
            public = keys.public_from_private(text, "JWT_PRIVATE_KEY_FILE")
    if public_file:
        text = named_files.text_of(public_file, "JWT_PUBLIC_KEY_FILE")
        public = keys.public_key_pem(text, "JWT_PUBLIC_KEY_FILE")
    return {
        "JWT_PUBLIC_KEY": public,
        "JWT_PRIVATE_KEY": private,
        "JWT_PUBLIC_KEY_FILE": public_file,
        "JWT_PRIVATE_KEY_FILE": private_file,
    }


def _read_password(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the password in a variable, or else in the file that another one names, without the end of its line."""
    text, file = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if not text and file:
        text = named_files.text_of(file, f"{name}_FILE").removesuffix("\n").removesuffix("\r")
        if not text:
            raise ConfigurationError(f"{name}_FILE: {named_files.shown(file)} is empty; expected a password")
    return {name: text, f"{name}_FILE": file}


def _read_metrics_token(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the token of those who read the metrics, ``""`` if there is none, and the file that it comes from."""
    file = environ.get("DSERVER_METRICS_TOKEN_FILE")
    if not file:
        name, token = "DSERVER_METRICS_TOKEN", environ.get("DSERVER_METRICS_TOKEN")
    elif environ.get("DSERVER_METRICS_TOKEN"):
        raise ConfigurationError(
            "DSERVER_METRICS_TOKEN_FILE: DSERVER_METRICS_TOKEN is set, too: leave one of them out"
        )
    else:
        name, token = "DSERVER_METRICS_TOKEN_FILE", named_files.text_of(file, "DSERVER_METRICS_TOKEN_FILE")
        if not token.strip():
            raise ConfigurationError(f"{name}: {named_files.shown(file)} is empty: no token is in it")
    return {
        "DSERVER_METRICS_TOKEN": keys.metrics_token(token.strip(), name) if token else "",
        "DSERVER_METRICS_TOKEN_FILE": file,
    }


def _if_there(path: Path, setting: str) -> str | None:
    return str(path) if named_files.is_there(path, setting) else None


def _read_api_spec_options(environ: Mapping[str, str]) -> dict[str, Any]:
    name, text = "API_SPEC_OPTIONS", environ.get("API_SPEC_OPTIONS")
    if not text and environ.get("API_SPEC_OPTIONS_FILE"):
        name = "API_SPEC_OPTIONS_FILE"
        text = named_files.text_of(environ[name], name)
    if not text:
        return BEARER_AUTHENTICATION
    try:
        options = json.loads(text)
    except (ValueError, RecursionError) as error:
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
    under ``CONFIG_SECRETS_TO_OBFUSCATE``, and whatever is named like a secret, or is an address with a password in it.
    In the address of a database server the secrets alone are ``***``, whether it is listed or not.
    """
    listed = {*config.get("CONFIG_SECRETS_TO_OBFUSCATE", ()), *CONFIG_EXCLUSIONS, *exclusions}
    return {key: _shown_value(key, value, listed) for key, value in config.items() if key.isupper()}


def _shown_value(key: str, value: Any, listed: set[str]) -> Any:
    """Return what may be shown of a setting, or of a part of one, such as the options of a database connection."""
    if isinstance(value, str) and shown_addresses.is_address(value) and _may_be_address(key, listed):
        return shown_addresses.shown(value)
    if isinstance(value, (list, tuple)) and secrecy.is_database(key):
        return [_shown_value(key, part, listed) for part in value]
    if key in listed or (key not in _NOT_SECRET and secrecy.is_secret(key) and value):
        return secrecy.HIDDEN
    if isinstance(value, Mapping):
        return {str(name): _shown_value(str(name), part, listed) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown_value("", part, listed) for part in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return secrecy.masked(str(value))


def _may_be_address(key: str, listed: set[str]) -> bool:
    """Return whether a setting whose value looks like the address of a database may be one, and no password."""
    return (
        secrecy.is_database(key) if key in listed else secrecy.is_database(key) or not secrecy.is_secret(key)
    )
