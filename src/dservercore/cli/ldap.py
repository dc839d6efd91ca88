"""``flask ldap``: whether signing in with the passwords of a directory works, and why not."""

from __future__ import annotations

import sys

import click
from flask import current_app

from dservercore.auth.ldap import configured_options
from dservercore.cli.console import Failure, GroupWithoutDatabase, say

ldap_cli = GroupWithoutDatabase("ldap", help="Check the directory that users sign in with.")


@ldap_cli.command(name="check")
@click.argument("username", required=False)
@click.option("-p", "--password", "asks", is_flag=True, help="Ask for the password of USERNAME, and try it.")
@click.option(
    "--stdin", "from_stdin", is_flag=True, help="Read that password from standard input, and try it."
)
def check_directory(username: str | None, asks: bool, from_stdin: bool) -> None:
    """Check, step by step, whether the directory can be asked.

    Each server of DSERVER_LDAP_URL is tried: connection, encryption, and the account that searches. With USERNAME, it
    shows what the directory says about somebody: entry, name, key, groups, and who may come. Nothing is changed, and
    nobody signed in. Where DSERVER_LDAP_USER_DN is set, only somebody with a password is shown.

    \b
      flask ldap check
      flask ldap check alice
      flask ldap check alice --password
    """
    options = configured_options(current_app.config)
    if options is None:
        raise Failure("There is no directory: set DSERVER_LDAP_URL")
    if (asks or from_stdin) and username is None:
        raise click.UsageError("Whose password? Name somebody: flask ldap check USERNAME --password")
    from dservercore.auth.ldap import diagnosis  # which needs the extra

    password = _password(from_stdin) if asks or from_stdin else None
    is_well = True
    for step in diagnosis.steps(options, username, password):
        say(f"{'ok  ' if step.is_well else 'FAIL'}  {step.text}")
        is_well = is_well and step.is_well
    if not is_well:
        or_not_by = ", or not by this user" if username else ""
        raise Failure(f"The directory cannot be used as it is configured{or_not_by}")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.buffer.readline().decode(errors="surrogateescape").rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask for the password at: use --stdin.")
    password: str = click.prompt("Password", hide_input=True, err=True)
    return password
