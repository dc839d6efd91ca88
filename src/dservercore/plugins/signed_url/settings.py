"""The settings of the extension ``signed_url``."""

from __future__ import annotations

from dservercore.settings.parsers import number_up_to, parse_external_url, parse_number
from dservercore.settings.table import Setting

#: Longest that a URL may work, in seconds: S3 signs none for longer.
MAX_EXPIRY = 7 * 24 * 3600


def parse_expiry(text: str) -> int:
    """Return a number of seconds from 1 to :data:`MAX_EXPIRY`.

    :raises ValueError: for anything else
    """
    return number_up_to(text, MAX_EXPIRY)


def parse_rewrite(text: str) -> tuple[str, str] | None:
    """Return two addresses, or two hosts with their ports, that are given with ``|`` between them; None for no text.

    :raises ValueError: if they are not two, or not of one kind
    """
    if not text.strip():
        return None
    parts = [part.strip() for part in text.split("|")]
    are_hosts = ["://" not in part for part in parts]
    if len(parts) != 2 or not all(parts) or any(are_hosts) != all(are_hosts):
        raise ValueError(
            "expected two addresses with | between them, such as http://s3:9000|https://s3.example.org"
        )
    if all(are_hosts):
        return tuple(parse_external_url(f"http://{part}").removeprefix("http://") for part in parts)  # type: ignore[return-value]
    return parse_external_url(parts[0]), parse_external_url(parts[1])


SETTINGS: list[Setting] = [
    Setting(
        "SIGNED_URL_READ_EXPIRY_SECONDS",
        3600,
        "Seconds for which a URL works by which a file is read.",
        parse_expiry,
    ),
    Setting(
        "SIGNED_URL_WRITE_EXPIRY_SECONDS",
        14_400,
        "Seconds for which a URL works by which a file is uploaded.",
        parse_expiry,
    ),
    Setting(
        "SIGNED_URL_HOST_REWRITE",
        None,
        "Address of S3 as this server reaches it, `|`, and its address for everybody else, where they differ.",
        parse_rewrite,
    ),
    Setting(
        "SIGNED_URL_MAX_ITEMS",
        100_000,
        "Most items of a dataset for which URLs are signed in one answer; with more, they are asked for one by one.",
        parse_number,
    ),
    Setting(
        "SIGNED_URL_MAX_UPLOAD_ITEMS",
        20_000,
        "Most items of a dataset that is uploaded by URLs: all of them are signed in one answer.",
        parse_number,
    ),
]
