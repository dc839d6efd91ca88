"""Forms that only a page of this server can have sent."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_wtf import FlaskForm
from itsdangerous.encoding import want_bytes
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.utils import cached_property

from dservercore.auth import sign_in
from dservercore.rest.request_parser import read_body

_URL_ENCODED = "application/x-www-form-urlencoded"


class Form(FlaskForm):
    """A form with a token, made for the session of the browser, that nobody else's page knows.

    Fields are those of WTForms. A view asks ``form.validate_on_submit()``, which is False for a form that was not sent,
    lacks the token, comes from a page of another site, or has a field that is not acceptable; ``web/form.html`` has
    macros to show it. It needs the setting ``SECRET_KEY``.
    """

    class Meta(FlaskForm.Meta):
        """What the token is made with."""

        @cached_property
        def csrf_secret(self) -> Any:
            """The key that signs the token: another one for each session.

            What the token is compared with is in a cookie, which another host of the same domain can set, too.
            """
            key, session = super().csrf_secret, sign_in.current()
            if not key or session is None:
                return key
            return want_bytes(key) + f" session {session.id} of {session.created_at}".encode()

    def validate(self, *args: Any, **options: Any) -> bool:
        """Return whether the form is acceptable."""
        comes_from = request.headers.get("Sec-Fetch-Site", "none")
        return comes_from in ("none", "same-origin") and bool(super().validate(*args, **options))


def refuse_many_fields(most: int) -> None:
    """Pass if the form that was sent has so many fields at most, before anything is made of them.

    Each takes a hundred times the room of the two characters that ask for it. Forms in parts have a bound already.

    :raises HTTPException: 413 if there are more, or the body is too large
    """
    if request.mimetype == _URL_ENCODED and read_body(request).count(b"&") >= most:
        raise RequestEntityTooLarge
