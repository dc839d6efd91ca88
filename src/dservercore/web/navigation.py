"""What the top of each page leads to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from flask import Blueprint, request, url_for

from dservercore.web.texts import gettext, noted

Readers = Literal["all", "users", "administrators"]


@dataclass(frozen=True)
class Place:
    """A page that the top of each page leads to.

    :param endpoint: of the page, such as ``web.dashboard``
    :param text: what the link says
    :param icon: one of ``web/icons.html``
    :param readers: whom it is shown to
    """

    endpoint: str
    text: str
    icon: str
    readers: Readers = "all"


#: In the order in which they are shown.
PLACES = [
    Place("web.home", noted("Search"), "search"),
    Place("web.dashboard", noted("Dashboard"), "layout-dashboard"),
    Place("web.admin", noted("Administration"), "settings", "administrators"),
]


def add_to(pages: Blueprint) -> None:
    """Give templates ``places(signed_in_as, is_admin)``: what the top of the page leads to, for its reader."""
    pages.app_context_processor(lambda: {"places": places})


def places(signed_in_as: str | None, is_admin: bool) -> list[dict[str, Any]]:
    """Return ``url``, ``text``, ``icon`` and ``is_here`` of each place that a reader may open."""
    may = {"all": True, "users": bool(signed_in_as), "administrators": is_admin}
    return [
        {
            "url": url_for(place.endpoint),
            "text": gettext(place.text),
            "icon": place.icon,
            "is_here": _is_here(url_for(place.endpoint)),
        }
        for place in PLACES
        if may[place.readers]
    ]


def _is_here(url: str) -> bool:
    path = request.script_root + request.path
    return path == url or (url.strip("/") != request.script_root.strip("/") and path.startswith(f"{url}/"))
