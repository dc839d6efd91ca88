"""``flask keys``: the key pair that signs and verifies tokens."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click
from flask import current_app

from dservercore.cli.console import Failure, GroupWithoutDatabase, say
from dservercore.settings import configuration, keys, named_files

KEY_SETTINGS = ("JWT_PUBLIC_KEY", "JWT_PRIVATE_KEY_FILE", "JWT_PUBLIC_KEY_FILE")

keys_cli = GroupWithoutDatabase("keys", help="Make and show the keys that sign and verify tokens.")


# Without an application, because one that is told to use missing keys does not start.
@keys_cli.command(name="generate", with_appcontext=False)
@click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where to write jwt_key and jwt_key.pub.  [default: the data directory, where the server looks for them]",
)
def generate_keys(directory: Path | None) -> None:
    """Make a key pair.

    The private key, jwt_key, signs tokens, and the public key, jwt_key.pub, verifies them. Keys that exist are never
    replaced. `flask init` makes a key pair too; this command is for keys that are kept elsewhere:

    \b
      flask keys generate --directory /etc/dserver
    """
    place = directory or configuration.data_directory()
    private, public = make_key_pair(place)
    say(f"Made {private} (keep it secret) and {public}")
    configured = next((name for name in KEY_SETTINGS if os.environ.get(name)), None)
    if place.absolute() != configuration.data_directory():
        say(f"To use them:  export JWT_PRIVATE_KEY_FILE={shlex.quote(str(private.absolute()))}")
    elif configured:
        say(f"They are not used as long as {configured} is set.")


def make_key_pair(directory: Path, cannot: str = "Cannot") -> tuple[Path, Path]:
    """Write a key pair into *directory*; return the paths of the private and the public key.

    :param cannot: how the message begins if they cannot be written
    :raises Failure: if there are keys already, or they cannot be written
    """
    try:
        return keys.generate_key_pair(directory)
    except FileExistsError as error:
        path = error.filename or error.args[0]
        raise Failure(
            f"{path} exists and is not replaced: tokens that were made with it would stop working"
        ) from None
    except OSError as error:
        why = named_files.reason(error, Path(error.filename or directory))
        raise Failure(f"{cannot} write keys: {why}: {error.filename}") from None


@keys_cli.command(name="public")
def public_key() -> None:
    """Print the public key, to be used by another server.

    With it, the other server verifies the tokens that are made by this one:

    \b
      export JWT_PUBLIC_KEY="<what this command prints>"
    """
    key = current_app.config.get("JWT_PUBLIC_KEY")
    if not key:
        raise Failure("There is no public key: make a key pair with `flask keys generate`")
    click.echo(key.strip())
