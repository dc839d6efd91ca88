"""How every command speaks, and how it fails: in one clear line on stderr, without a traceback."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError

from dservercore import db, plugin_host
from dservercore.errors import ConfigurationError, DserverError
from dservercore.printable import printable, printable_json


class Failure(click.ClickException):
    """Ends the command with a message on stderr."""

    exit_code = 1

    def __init__(self, *lines: str):
        super().__init__("\n".join(lines))
        self.lines = lines

    def show(self, file: Any = None) -> None:
        """Print the message, as it is in the documentation: without a prefix."""
        for line in self.lines:
            say(line, err=True)


class Interruption(Failure):
    """Ends the command as Ctrl-C does."""

    exit_code = 130  # what a shell makes of SIGINT


class Command(click.Command):
    """A command that ends in one line where the catalog or the database refuses.

    :cvar needs_database: whether there must be a database already
    :cvar needs_routes: whether it uses what requests are answered with, such as tokens; without, it starts much sooner
    """

    needs_database = True
    needs_routes = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return the arguments that are left, as click does.

        :raises click.UsageError: for an argument that is not text in UTF-8, which no database and no JSON can hold
        """
        for argument in args:
            try:
                argument.encode()
            except UnicodeEncodeError:
                raise click.UsageError(f"{argument!a} is not text in UTF-8.", ctx) from None
        with usage_errors_printable():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with errors_in_one_line(), usage_errors_printable():
            return super().invoke(ctx)


class CommandWithoutDatabase(Command):
    """A :class:`Command` for an installation that may have no database yet."""

    needs_database = False


class CommandWithRoutes(Command):
    """A :class:`Command` that uses what requests are answered with."""

    needs_routes = True


class Group(AppGroup):
    """A group of :class:`Command`, which run with an application context."""

    command_class: type[Command] = Command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that the arguments begin with."""
        with usage_errors_printable():
            return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return the arguments of the command."""
        with usage_errors_printable():
            return super().parse_args(ctx, args)


class GroupWithoutDatabase(Group):
    """A :class:`Group` of commands for an installation that may have no database yet."""

    command_class = CommandWithoutDatabase


@contextmanager
def usage_errors_printable() -> Iterator[None]:
    """In the errors of click, which repeat arguments, escape what is not to be printed."""
    try:
        yield
    except click.ClickException as error:
        if not isinstance(error, Failure):
            vars(error)["message"] = printable(error.message, _encoding(sys.stderr))
        raise


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turn errors of the catalog and the database into a :class:`Failure`."""
    try:
        yield
    except DserverError as error:
        raise Failure(error.message) from error
    except DBAPIError as error:
        raise Failure(_why_the_database_failed(error)) from error


def _why_the_database_failed(error: DBAPIError) -> str:
    # A table that is missing, or a server that is out of reach, has another error in each database.
    try:
        db.require_upgraded()
    except ConfigurationError as cause:
        return cause.message
    return db.what_is_missing(error) or f"The database failed: {db.reason(error)}"


def require_server() -> None:
    """Pass if the application is this server, and not another one that has our commands, too.

    :raises Failure: if it is another one
    """
    if plugin_host.DISTRIBUTION not in current_app.extensions:
        raise Failure("This application is not dservercore: export FLASK_APP=dservercore")


def count_of(number: int, what: str) -> str:
    """Return a number of things in words, such as ``1 dataset`` or ``3 datasets``.

    :param what: the thing in the singular
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def say(line: str, err: bool = False) -> None:
    """Print one line, whatever characters are in it: what would act on a terminal, or cannot be printed, is escaped."""
    click.echo(printable(line, _encoding(sys.stderr if err else sys.stdout)), err=err)


def _encoding(stream: Any) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def say_json(value: Any) -> None:
    """Print a JSON value, indented by 2."""
    click.echo(_to_json(value))


def say_json_line(value: Any) -> None:
    """Print a JSON value in one line."""
    click.echo(printable_json(json.dumps(value, ensure_ascii=False), _encoding(sys.stdout)))


def say_json_list(items: Iterable[Any]) -> None:
    """Print a JSON array as :func:`say_json` does, without holding all of its items."""
    opening = "["
    for item in items:
        click.echo(f"{opening}\n{textwrap.indent(_to_json(item), '  ')}", nl=False)
        opening = ","
    click.echo("[]" if opening == "[" else "\n]")


def _to_json(value: Any) -> str:
    return printable_json(json.dumps(value, indent=2, ensure_ascii=False), _encoding(sys.stdout))
