"""The settings: their names, defaults and meaning, and how each is read from text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dservercore.dataset.text_query import MAX_QUERY_CHARACTERS
from dservercore.dataset.values import MAX_JSON_DEPTH
from dservercore.settings.ldap_parsers import (
    parse_admits,
    parse_attribute,
    parse_attribute_if_any,
    parse_ldap_urls,
    parse_timeout,
)
from dservercore.settings.parsers import (
    parse_bool,
    parse_bytes,
    parse_depth,
    parse_duration,
    parse_duration_if_any,
    parse_external_url,
    parse_fraction,
    parse_headers,
    parse_level,
    parse_names,
    parse_networks,
    parse_number,
    parse_origins,
    parse_provider_names,
    parse_query_length,
    parse_seconds,
    parse_whole_seconds,
)

#: Settings that are never shown. Plugins add theirs for their own application (see ``PluginABC``).
CONFIG_EXCLUSIONS = ["DSERVER_METRICS_TOKEN", "JWT_PRIVATE_KEY", "SECRET_KEY", "SQLALCHEMY_DATABASE_URI"]

#: The setting that names providers of OpenID Connect, each of which has settings of its own (``oidc_providers``).
OIDC_PROVIDERS = "DSERVER_OIDC_PROVIDERS"


@dataclass(frozen=True)
class Setting:
    """One environment variable.

    :param default: the value when the variable is not set, or a word on where it comes from
    :param parse: turns the text into the value; raises a ValueError, which need not name the setting, for a wrong one
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
    Setting("DSERVER_EXTENSIONS", [], "Bundled extensions to load, comma-separated.", parse_names),
    Setting("DSERVER_WEB", True, "Serve pages for people: `/`, and errors in HTML for browsers.", parse_bool),
    Setting(
        "DSERVER_UPDATE_STORAGE",
        True,
        "Write edited READMEs, tags and annotations to the datasets too.",
        parse_bool,
    ),
    Setting(
        "DSERVER_LOG_LEVEL", "INFO", "Least level that is logged: DEBUG, INFO, WARNING, ERROR.", parse_level
    ),
    Setting(
        "DISABLE_JWT_AUTHORISATION", False, "Serve everybody as DEFAULT_USER, without tokens.", parse_bool
    ),
    Setting("DEFAULT_USER", "testuser", "Who everybody is when tokens are disabled; must be registered."),
    Setting(
        "MAX_CONTENT_LENGTH",
        256 * 2**20,
        "Largest request body in bytes; larger ones get a 413.",
        parse_bytes,
    ),
    Setting("DSERVER_MAX_TAGS", 10_000, "Most tags that a dataset may have; more get a 422.", parse_number),
    Setting(
        "DSERVER_MAX_README_LENGTH",
        2**20,
        "Longest README in characters; a longer one gets a 422.",
        parse_number,
    ),
    Setting(
        "DSERVER_MAX_ANNOTATIONS_LENGTH",
        2**19,
        "Most that the annotations of a dataset may take together, in bytes of JSON; more get a 422.",
        parse_number,
    ),
    Setting(
        "DSERVER_MAX_ANNOTATION_DEPTH",
        MAX_JSON_DEPTH,
        f"Most levels of nesting in an annotation, at most {MAX_JSON_DEPTH}; more get a 422.",
        parse_depth,
    ),
    Setting(
        "DSERVER_MAX_MANIFEST_BYTES",
        512 * 2**20,
        "Largest manifest, in bytes, that is read from storage; a dataset with a larger one is not registered.",
        parse_bytes,
    ),
    Setting(
        "DSERVER_STORAGE_TIMEOUT",
        300.0,
        "Seconds to wait for one dataset in storage that is not a directory of this machine.",
        parse_seconds,
    ),
    Setting(
        "DSERVER_PRUNE_LIMIT",
        0.5,
        "Part of a base URI's registrations, from 0 to 1, that may be removed at once because their datasets are gone.",
        parse_fraction,
    ),
    Setting(
        "DSERVER_MAX_QUERY_LENGTH",
        MAX_QUERY_CHARACTERS,
        f"Longest free_text of a search in characters, at most {MAX_QUERY_CHARACTERS}; a longer one gets a 422.",
        parse_query_length,
    ),
    Setting(
        "DSERVER_SEARCH_TIMEOUT",
        10.0,
        "Seconds that one search may take; one that would take longer gets a 503.",
        parse_seconds,
    ),
    Setting(
        "DSERVER_TRUSTED_PROXIES",
        [],
        "Addresses and networks of proxies whose X-Forwarded-For, -Proto, -Host and -Prefix count, comma-separated;"
        " `unix` for one that connects through a Unix socket.",
        parse_networks,
    ),
    Setting(
        "DSERVER_CORS_ORIGINS",
        ["*"],
        "Origins of web pages that may read answers, comma-separated; `*`: all; empty: none.",
        parse_origins,
    ),
    Setting(
        "DSERVER_SECURITY_HEADERS",
        {},
        "Headers to set on every answer, as a JSON object; null: to leave one out that is set by default.",
        parse_headers,
    ),
    Setting(
        "DSERVER_HSTS_SECONDS",
        0,
        "How long browsers are to insist on TLS (Strict-Transport-Security); 0: they are told nothing.",
        parse_whole_seconds,
    ),
    Setting(
        "DSERVER_EXTERNAL_URL",
        "",
        "Address under which people reach the server, such as https://lookup.example.org/prefix: for links that name"
        " it; empty: the address of the request, or http://127.0.0.1:5000.",
        parse_external_url,
    ),
    Setting(
        OIDC_PROVIDERS,
        [],
        "Providers of OpenID Connect with which people may sign in, comma-separated: names of your own choice, such as"
        " keycloak. Each has settings of its own.",
        parse_provider_names,
    ),
    Setting(
        "DSERVER_SESSION_IDLE",
        8 * 3600,
        "How long a browser stays signed in without being used: a number and s, m, h, d or w. In seconds.",
        parse_duration,
    ),
    Setting(
        "DSERVER_SESSION_LIFETIME",
        7 * 86400,
        "How long a browser stays signed in at most: a number and s, m, h, d or w. In seconds.",
        parse_duration,
    ),
    Setting(
        "JWT_ACCESS_TOKEN_EXPIRES",
        900,
        "How long tokens of `flask user token` and `/auth/token` work, unless it is told: a number and s, m, h, d or w."
        " In seconds.",
        parse_duration,
    ),
    Setting(
        "DSERVER_MAX_TOKEN_LIFETIME",
        None,
        "Longest lifetime of a token that is accepted, such as 30d. Tokens that live longer, or for ever, get a 401;"
        " empty: any lifetime is accepted.",
        parse_duration_if_any,
    ),
    Setting(
        "JWT_DECODE_LEEWAY",
        30,
        "Seconds by which the clock of the server that makes tokens may be ahead of this one's: so much later may `iat`"
        " and `nbf` be. An expired token is one whatever this says.",
        parse_whole_seconds,
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
        lambda text: parse_names(text) or None,
    ),
    Setting(
        "DSERVER_METRICS_NETWORKS",
        [],
        "Addresses and networks that may read `/metrics` without a token, comma-separated; `unix` for who connects"
        " through a Unix socket; empty: none.",
        parse_networks,
    ),
    Setting("OPENAPI_URL_PREFIX", "/doc", "Path under which the API documentation is served."),
    Setting("OPENAPI_REDOC_PATH", "/redoc", "Path of the ReDoc page below the prefix."),
    Setting("OPENAPI_SWAGGER_UI_PATH", "/swagger", "Path of the Swagger UI page below the prefix."),
    Setting("OPENAPI_REDOC_URL", "", "Address of the ReDoc script; empty: the one in the package."),
    Setting("OPENAPI_SWAGGER_UI_URL", "", "Address of the Swagger UI files; empty: those in the package."),
]


#: Settings of ``flask serve``, which are options of it, too; documented here, read there.
SERVING_SETTINGS = [
    Setting(
        "DSERVER_HOST", "127.0.0.1", "Address that `flask serve` listens on; 0.0.0.0: all of this machine."
    ),
    Setting("DSERVER_PORT", 5000, "Port that `flask serve` listens on."),
    Setting(
        "DSERVER_UNIX_SOCKET",
        "",
        "Unix socket that `flask serve` listens on instead, for a proxy on this machine.",
    ),
    Setting(
        "DSERVER_WORKERS",
        "the number of processors, up to 8",
        "Processes of `flask serve` that answer requests.",
    ),
    Setting("DSERVER_THREADS", 4, "Requests that each worker of `flask serve` works on at the same time."),
    Setting(
        "DSERVER_CONNECTIONS",
        4096,
        "Connections that each worker of `flask serve` may have; more wait. Each takes an open file.",
    ),
    Setting(
        "DSERVER_BACKLOG", 1024, "Connections that may wait in the kernel until `flask serve` takes them."
    ),
    Setting(
        "DSERVER_CLIENT_TIMEOUT",
        30,
        "Seconds in which a client of `flask serve` has to send the head of a request, the next part of a body, or to"
        " fetch the next part of an answer; a connection that is not used for so long is closed.",
    ),
    Setting(
        "DSERVER_GRACEFUL_TIMEOUT",
        30,
        "Seconds that requests in flight have when `flask serve` is stopped.",
    ),
    Setting(
        "DSERVER_SERVE_JOBS",
        True,
        "Whether `flask serve` does the queued jobs of extensions itself; else `flask worker` has to run.",
    ),
    Setting(
        "DSERVER_CERTIFICATE", "", "File with the certificate (PEM) with which `flask serve` speaks TLS."
    ),
    Setting("DSERVER_CERTIFICATE_KEY", "", "File with the key of that certificate (PEM)."),
]


#: Settings of signing in with the password of a directory.
LDAP_SETTINGS = [
    Setting(
        "DSERVER_LDAP_URL",
        [],
        "Directory whose passwords users sign in with: ldaps://host or ldap://host, with a port if need be; several,"
        " comma-separated, are tried in turn; empty: there is none.",
        parse_ldap_urls,
    ),
    Setting(
        "DSERVER_LDAP_START_TLS",
        True,
        "Encrypt connections to ldap:// (STARTTLS). With false, passwords cross the network in clear text.",
        parse_bool,
    ),
    Setting(
        "DSERVER_LDAP_CA_FILE",
        "",
        "File with the certificates (PEM) that vouch for that of the directory; empty: those of the system.",
    ),
    Setting(
        "DSERVER_LDAP_USER_DN",
        "",
        "Distinguished name of a user's entry, with {username} where the name goes, where all users are in one place:"
        " uid={username},ou=people,dc=example,dc=org. Where they are not, use DSERVER_LDAP_BASE_DN.",
    ),
    Setting("DSERVER_LDAP_BASE_DN", "", "Distinguished name of the entry below which users are searched."),
    Setting(
        "DSERVER_LDAP_USER_FILTER",
        "(uid={username})",
        "Filter that finds the one entry of a user, with {username} where the name goes.",
    ),
    Setting(
        "DSERVER_LDAP_BIND_DN",
        "",
        "Distinguished name of the account that searches; empty: the directory is searched anonymously.",
    ),
    Setting("DSERVER_LDAP_USERNAME_ATTRIBUTE", "uid", "Attribute with the name of a user.", parse_attribute),
    Setting(
        "DSERVER_LDAP_DISPLAY_NAME_ATTRIBUTE",
        "cn",
        "Attribute with the name of a user as people write it; empty: none.",
        parse_attribute_if_any,
    ),
    Setting(
        "DSERVER_LDAP_KEY_ATTRIBUTE",
        "entryUUID",
        "Attribute that stays the same when an entry is renamed, objectGUID in Active Directory. Of an entry without it"
        " the distinguished name counts.",
        parse_attribute,
    ),
    Setting(
        "DSERVER_LDAP_GROUP_BASE_DN",
        "",
        "Distinguished name of the entry below which the groups that count are; empty: groups of the directory do not.",
    ),
    Setting(
        "DSERVER_LDAP_GROUP_FILTER",
        "(member={dn})",
        "Filter that finds the groups of a user, with {dn} or {username} where these go.",
    ),
    Setting(
        "DSERVER_LDAP_GROUP_NAME_ATTRIBUTE", "cn", "Attribute with the name of a group.", parse_attribute
    ),
    Setting(
        "DSERVER_LDAP_MEMBER_OF",
        "",
        "Attribute of users with the names of their groups, such as memberOf; empty: groups are searched.",
        parse_attribute_if_any,
    ),
    Setting(
        "DSERVER_LDAP_ADMITS",
        "known",
        "Who may sign in: anyone in the directory, known (users who are registered here), or group (members of"
        " DSERVER_LDAP_ADMITTED_GROUPS).",
        parse_admits,
    ),
    Setting(
        "DSERVER_LDAP_ADMITTED_GROUPS",
        [],
        "Groups of the directory, comma-separated, whose members may sign in with DSERVER_LDAP_ADMITS=group.",
        parse_names,
    ),
    Setting(
        "DSERVER_LDAP_ADMIN_GROUPS",
        [],
        "Groups of the directory, comma-separated, whose members are administrators here, and nobody else of the"
        " directory is; empty: administrators are made here.",
        parse_names,
    ),
    Setting(
        "DSERVER_LDAP_TIMEOUT",
        5,
        "Seconds, 1 to 60, to wait for a connection to the directory, and for each of its answers.",
        parse_timeout,
    ),
]

SETTINGS += LDAP_SETTINGS


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
        "Key with which Flask signs the tokens of forms; one that can be guessed stops the server.",
    ),
    Setting(
        "DSERVER_METRICS_TOKEN",
        "",
        "Token with which `/metrics` may be read from anywhere (`Authorization: Bearer`); one that can be guessed stops"
        " the server.",
    ),
    Setting("DSERVER_METRICS_TOKEN_FILE", "", "File with that token."),
    Setting(
        "API_SPEC_OPTIONS", "bearer authentication", "Extra content of the OpenAPI document, as JSON text."
    ),
    Setting("API_SPEC_OPTIONS_FILE", "", "The same from a file."),
    Setting("DSERVER_LDAP_BIND_PASSWORD", "", "Password of DSERVER_LDAP_BIND_DN."),
    Setting(
        "DSERVER_LDAP_BIND_PASSWORD_FILE",
        "",
        "File with that password, which none but the server should read.",
    ),
    *SERVING_SETTINGS,
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
