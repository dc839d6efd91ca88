"""The texts of the pages in the language of the reader, where there is a translation.

Templates and views write them in English, as ``_("...")``; ``make texts`` collects them in ``locale/messages.pot``. A
translation is ``locale/<language>/LC_MESSAGES/messages.mo``, made from that by the usual tools of gettext. Scripts have
no texts of their own: they take them from ``data-`` attributes of the page.
"""

from __future__ import annotations

import gettext as gettext_of_python
from functools import cache
from pathlib import Path

from flask import Flask, has_request_context, request

DIRECTORY = Path(__file__).parent / "locale"

#: The language that the texts are written in.
WRITTEN_IN = "en"


@cache
def languages() -> tuple[str, ...]:
    """Return the languages that there are, as in ``Accept-Language``."""
    return (
        WRITTEN_IN,
        *sorted(path.parent.parent.name for path in DIRECTORY.glob("*/LC_MESSAGES/messages.mo")),
    )


def language() -> str:
    """Return the language of the request at hand."""
    if len(languages()) == 1 or not has_request_context():
        return WRITTEN_IN
    return request.accept_languages.best_match(languages(), WRITTEN_IN) or WRITTEN_IN


@cache
def _translations(wanted: str) -> gettext_of_python.NullTranslations:
    return gettext_of_python.translation("messages", DIRECTORY, [wanted], fallback=True)


def gettext(text: str) -> str:
    """Return a text in the language of the reader."""
    return _translations(language()).gettext(text)


def ngettext(one: str, many: str, number: int) -> str:
    """Return the text for a number of things in the language of the reader."""
    return _translations(language()).ngettext(one, many, number)


def noted(text: str) -> str:
    """Return a text as it is: it is translated where it is shown, and is written where no reader is known yet."""
    return text


def init_texts(app: Flask) -> None:
    """Let templates write ``_("...")``, ``{% trans %}`` and ``text | translated``."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.globals["language"] = language
    # For a text that a view has: `_` would take a percent sign in it for a placeholder.
    app.jinja_env.filters["translated"] = gettext
