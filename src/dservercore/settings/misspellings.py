"""Variables of the environment that look like settings and are none: what their author probably meant."""

from __future__ import annotations

import difflib
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher

from dservercore.settings.configuration import DERIVED_SETTINGS, FIXED, SETTINGS

_PREFIX = "DSERVER_"

#: How alike two names have to be (0 to 1). A variable of somebody else resembles a setting by chance.
_ALIKE, _ALIKE_ABROAD, _ALIKE_PREFIX = 0.75, 0.8, 0.85
#: So many letters of a setting's beginning suffice to name it.
_LEAST_LENGTH = 4

# Of our tests; and what Kubernetes tells every container of a service that is called dserver, or dserver-something.
_NOT_OURS = re.compile(
    r"DSERVER_(TEST_.*|FUZZ|(\w+_)?SERVICE_HOST|(\w+_)?SERVICE_PORT(_\w+)?|(\w+_)?PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)"
)
_ADDRESS_OF_KUBERNETES = re.compile(r"(tcp|udp)://.*")

# Of the clients that docs/how-to name, on the same machine.
_OF_CLIENTS = {
    "DSERVER_URL",
    "DSERVER_TOKEN",
    "DSERVER_TOKEN_GENERATOR_URL",
    "DSERVER_USERNAME",
    "DSERVER_PASSWORD",
    "DSERVER_VERIFY_SSL",
}

# Of the plugins of the ecosystem, whether they are installed or not.
_OF_PLUGINS = {
    "DSERVER_MONGO_URI",
    "DSERVER_MONGO_DB",
    "DSERVER_MONGO_COLLECTION",
    "DSERVER_ALLOW_DIRECT_QUERY",
    "DSERVER_ALLOW_DIRECT_AGGREGATION",
    "DSERVER_ENABLE_DEPENDENCY_VIEW",
    "DSERVER_DYNAMIC_DEPENDENCY_KEYS",
    "DSERVER_FORCE_REBUILD_DEPENDENCY_VIEW",
    "DSERVER_DEPENDENCY_KEYS",
    "DSERVER_MONGO_DEPENDENCY_VIEW_PREFIX",
    "DSERVER_MONGO_DEPENDENCY_VIEW_BOOKKEEPING",
    "DSERVER_MONGO_DEPENDENCY_VIEW_CACHE_SIZE",
    "DSERVER_NOTIFY_BUCKET_TO_BASE_URI",
    "DSERVER_NOTIFY_ALLOW_ACCESS_FROM",
    "SEARCH_MONGO_URI",
    "SEARCH_MONGO_DB",
    "SEARCH_MONGO_COLLECTION",
    "RETRIEVE_MONGO_URI",
    "RETRIEVE_MONGO_DB",
    "RETRIEVE_MONGO_COLLECTION",
    "SIGNED_URL_READ_EXPIRY_SECONDS",
    "SIGNED_URL_WRITE_EXPIRY_SECONDS",
    "SIGNED_URL_HOST_REWRITE",
}

# Whoever sets these means something else, however alike the names are.
_OF_OTHERS = re.compile(
    r"(FLASK|GUNICORN|UVICORN|AWS|DTOOL|PG|POSTGRES|MYSQL|MARIADB|DB|MONGO|PYTHON|XDG|CI|GITHUB)_.*"
    r"|JWT_SECRET_KEY|SECRET_KEY_(BASE|FALLBACKS)|CONTENT_LENGTH|DEFAULT_USERNAME|JWT_ENCODE_\w+|OPENAPI_RAPIDOC_\w+"
)

# What other programs call a thing that a setting of ours is for.
_SYNONYMS = {
    "DATABASEURI": "SQLALCHEMY_DATABASE_URI",
    "JWTPUBLICKEYPATH": "JWT_PUBLIC_KEY_FILE",
    "JWTPRIVATEKEYPATH": "JWT_PRIVATE_KEY_FILE",
}


def warnings(environ: Mapping[str, str], own: Iterable[str], is_alone: bool) -> Iterator[str]:
    """Yield a line for each variable that is no setting, and whose author probably thinks that it is one.

    :param own: names of settings that plugins have
    :param is_alone: whether nobody else's plugins are installed, to which a variable might belong
    """
    settings = {setting.name for setting in [*SETTINGS, *DERIVED_SETTINGS]}
    known = settings | _OF_PLUGINS | {name for name in own if name not in FIXED}
    for variable in sorted(environ.keys() - known - _OF_CLIENTS):
        name = _with_prefix(variable.upper())
        if _NOT_OURS.fullmatch(name) or _OF_OTHERS.fullmatch(name):
            continue
        if is_of_kubernetes(environ[variable]):
            continue
        is_ours = name.startswith(_PREFIX)
        if nearest := _nearest(name, known, _ALIKE if is_ours else _ALIKE_ABROAD):
            if nearest not in environ or is_ours:
                yield f"{variable} is no setting, and is ignored: did you mean {nearest}?"
        elif variable.upper().replace("-", "_").startswith(_PREFIX) and is_alone:
            yield f"{variable} is no setting of this server, and is ignored"


def is_of_kubernetes(value: str) -> bool:
    """Return whether this is the address of a service, as Kubernetes tells it every container (``NAME_PORT``)."""
    return bool(_ADDRESS_OF_KUBERNETES.fullmatch(value))


def _with_prefix(name: str) -> str:
    """Return a name with the prefix of our settings as it should be, where it was meant: ``DSEVER_``, ``D_SERVER_``."""
    plain = re.sub(r"[^A-Z0-9]", "_", name)
    if found := re.match(r"D_?SERVER_*", plain):
        return _PREFIX + plain[found.end() :]
    first, _, rest = plain.partition("_")
    # SERVER_PORT and its like are of web servers.
    is_meant = first[:1] == "D" and SequenceMatcher(None, first, _PREFIX[:-1]).ratio() > _ALIKE_PREFIX
    return _PREFIX + rest if rest and is_meant else name


def _nearest(name: str, known: Iterable[str], least: float) -> str | None:
    if name in known:  # in lower case, or with another prefix
        return name
    # The prefix, which they have in common, would make all of them alike.
    is_ours = name.startswith(_PREFIX)
    cores = {_core(one): one for one in known if is_ours or not one.startswith(_PREFIX)}
    cores |= {core: one for core, one in _SYNONYMS.items() if is_ours or core.startswith("JWT")}
    core = _core(name)
    if same := cores.get(core):
        return same
    near = difflib.get_close_matches(core, cores, n=1, cutoff=least)
    if near:
        return cores[near[0]]
    longer = [own for own in cores if own.startswith(core)] if is_ours and len(core) >= _LEAST_LENGTH else []
    return cores[longer[0]] if len(longer) == 1 else None


def _core(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name).removeprefix("DSERVER")


_sign: list[socket.socket] = []


def is_first_worker() -> bool:
    """Return whether no other process that the same one has started has asked this: of many workers, one speaks.

    A name that belongs to a process for as long as it lives tells that, where the system has such names (Linux).
    """
    if _sign:
        return False
    sign = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sign.bind(f"\0dservercore-{os.getuid()}-{os.getppid()}")
    except OSError:
        sign.close()
        return False
    _sign.append(sign)
    return True
