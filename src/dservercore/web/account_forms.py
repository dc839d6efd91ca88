"""The forms of the page ``/account``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import current_app
from wtforms import (
    BooleanField,
    PasswordField,
    SelectField,
    SelectMultipleField,
    StringField,
    SubmitField,
)
from wtforms.validators import InputRequired, Length

from dservercore.catalog.scope import GRANTS, MAY, Actor
from dservercore.models import DISPLAY_NAME_LENGTH, SEARCH_NAME_LENGTH, TOKEN_NAME_LENGTH
from dservercore.web.forms import Form
from dservercore.web.texts import gettext, ngettext, noted

_DAY = 24 * 3600
#: How long a token may be made to work, in seconds.
_LIFETIMES = (_DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY, 365 * _DAY)
_USUAL_LIFETIME = 90 * _DAY
FOR_EVER = ""

_WHAT_TOKENS_MAY = {
    "search": noted("Search and read"),
    "register": noted("Register and change datasets"),
    "admin": noted("Administer the server"),
}


class NameForm(Form):
    """The name that somebody is shown under."""

    display_name = StringField(
        noted("Name that is shown"),
        [Length(max=DISPLAY_NAME_LENGTH, message=noted("The name is too long."))],
        description=noted("Your own name, for example. It is beside your user name, which stays."),
        render_kw={"autocomplete": "name"},
    )
    send = SubmitField(noted("Save"), id="send-name")


class FirstPasswordForm(Form):
    """A password, for who has none."""

    new = PasswordField(
        noted("New password"),
        [InputRequired(noted("The new password is missing."))],
        description=noted(
            "At least 12 characters: for example several words that have nothing to do with each other."
        ),
        render_kw={"autocomplete": "new-password"},
    )
    send = SubmitField(noted("Set the password"), id="send-new")


class PasswordChangeForm(FirstPasswordForm):
    """A new password, and the one until now."""

    old = PasswordField(
        noted("Password until now"),
        [InputRequired(noted("The password until now is missing."))],
        render_kw={"autocomplete": "current-password"},
    )
    # Fields come in the order in which they are made.
    new = PasswordField(
        noted("New password"),
        [InputRequired(noted("The new password is missing."))],
        description=noted(
            "At least 12 characters: for example several words that have nothing to do with each other."
        ),
        render_kw={"autocomplete": "new-password"},
    )
    send = SubmitField(noted("Change the password"), id="send-new")


class SearchForm(Form):
    """A name for a search, and what it asks for."""

    name = StringField(
        noted("Name"),
        [
            InputRequired(noted("The name is missing.")),
            Length(max=SEARCH_NAME_LENGTH, message=noted("The name is too long.")),
        ],
    )
    query = StringField(noted("Query"))


class _LifetimeForm(Form):
    expires_in = SelectField(noted("It works for"))

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.expires_in.choices = _lifetimes(current_app.config["DSERVER_MAX_TOKEN_LIFETIME"])
        if self.expires_in.data is None:
            offered = [value for value, _ in self.expires_in.choices]
            usual = str(_USUAL_LIFETIME)
            self.expires_in.data = usual if usual in offered else offered[-1]

    @property
    def seconds(self) -> int | None:
        """The time that is chosen, in seconds; None: for ever."""
        return int(self.expires_in.data) if self.expires_in.data else None


def _lifetimes(longest: int | None) -> list[tuple[str, str]]:
    """Return the times that a token may work here, as choices: seconds, and what they are called."""
    offered = [seconds for seconds in _LIFETIMES if not longest or seconds < longest]
    choices = [(str(seconds), _in_words(seconds)) for seconds in [*offered, *([longest] if longest else [])]]
    return choices if longest else [*choices, (FOR_EVER, gettext("Until it is ended"))]


def _in_words(seconds: int) -> str:
    days, hours, minutes = seconds // _DAY, seconds // 3600, max(1, seconds // 60)
    if days:
        return ngettext("%(n)s day", "%(n)s days", days) % {"n": days}
    if hours:
        return ngettext("%(n)s hour", "%(n)s hours", hours) % {"n": hours}
    return ngettext("%(n)s minute", "%(n)s minutes", minutes) % {"n": minutes}


class TokenForm(_LifetimeForm):
    """A token for a program.

    :param actor: whom it is for
    :param usable: the base URIs where they may do something
    """

    name = StringField(
        noted("What is it for?"),
        [
            InputRequired(noted("Say what the token is for, to know it by.")),
            Length(max=TOKEN_NAME_LENGTH, message=noted("The name is too long.")),
        ],
        id="token-name",
        description=noted("A name to know it by, such as “notebook on my laptop”."),
        render_kw={"autocomplete": "off"},
    )
    may = SelectMultipleField(noted("What it may do"), default=["search"])
    base_uris = SelectMultipleField(noted("Only in these base URIs"))

    def __init__(self, actor: Actor, usable: Collection[str], **options: Any):
        super().__init__(**options)
        self.may.choices = [
            (word, gettext(_WHAT_TOKENS_MAY[word])) for word in MAY if word in GRANTS or actor.is_admin
        ]
        self.base_uris.choices = [(base_uri, base_uri) for base_uri in sorted(usable)]


class DtoolForm(_LifetimeForm):
    """A file of settings for dtool, with a token in it."""

    expires_in = SelectField(noted("The token works for"), id="dtool-expires-in")
    register = BooleanField(noted("Also register and change datasets"))
