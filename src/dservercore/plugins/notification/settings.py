"""The settings of the extension ``notification``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from dservercore.dataset import uris
from dservercore.errors import ConfigurationError
from dservercore.settings import named_files
from dservercore.settings.parsers import parse_names, parse_networks
from dservercore.settings.table import Setting

BUCKETS = "DSERVER_NOTIFY_BUCKET_TO_BASE_URI"
NETWORKS = "DSERVER_NOTIFY_ALLOW_ACCESS_FROM"
SECRET = "DSERVER_NOTIFY_SECRET"
SECRET_FILE = f"{SECRET}_FILE"
TOPICS = "DSERVER_NOTIFY_SNS_TOPICS"
ENDPOINT = "DSERVER_NOTIFY_SNS_ENDPOINT"

#: Longest name of a bucket that is kept; those of S3 have 63 characters at most.
MAX_BUCKET_LENGTH = 255

# It may be part of a path, and is looked for in lines of the log as it is written there.
_SECRET = re.compile(r"[A-Za-z0-9._~-]{16,200}", re.ASCII)
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_.-]{1,256}", re.ASCII)
_ENDPOINT = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?", re.ASCII)


def parse_buckets(text: str) -> dict[str, str]:
    """Return the base URI of each bucket that a JSON object names, without a slash at its end.

    :raises ValueError: for anything else
    """
    try:
        buckets = json.loads(text)
    except (ValueError, RecursionError):
        buckets = None
    if not isinstance(buckets, dict) or not all(
        0 < len(bucket) <= MAX_BUCKET_LENGTH and _is_base_uri(base_uri)
        for bucket, base_uri in buckets.items()
    ):
        raise ValueError('expected a JSON object of buckets and base URIs such as {"bucket": "s3://bucket"}')
    return {bucket: base_uri.rstrip("/") for bucket, base_uri in buckets.items()}


def _is_base_uri(value: object) -> bool:
    return isinstance(value, str) and "://" in value[1:] and len(value) <= uris.MAX_LENGTH


def parse_secret(text: str) -> str:
    """Return a secret that nobody guesses and that needs no escaping in a path; empty: there is none.

    :raises ValueError: for anything else
    """
    if text and not _SECRET.fullmatch(text):
        raise ValueError("expected 16 to 200 letters, digits and characters of ._~-")
    return text


def secret_from_file(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the secret that is in a file, by the name of its setting; nothing if no file is named.

    :raises ConfigurationError: if there is none in the file, or one is set, too
    """
    file = environ.get(SECRET_FILE)
    if not file:
        return {}
    if environ.get(SECRET):
        raise ConfigurationError(f"{SECRET_FILE}: {SECRET} is set, too: leave one of them out")
    try:
        secret = parse_secret(named_files.text_of(file, SECRET_FILE).strip())
    except ValueError as error:
        raise ConfigurationError(f"{SECRET_FILE}: {named_files.shown(file)}: {error}") from None
    if not secret:
        raise ConfigurationError(f"{SECRET_FILE}: {named_files.shown(file)} is empty: no secret is in it")
    return {SECRET: secret}


def parse_topics(text: str) -> list[str]:
    """Return the names (ARN) of SNS topics in a list with commas.

    :raises ValueError: for anything else
    """
    topics = parse_names(text)
    for topic in topics:
        if not _TOPIC.fullmatch(topic):
            raise ValueError("expected topics such as arn:aws:sns:eu-west-1:123456789012:datasets")
    return topics


def parse_endpoint(text: str) -> str:
    """Return the address of a service without a slash at its end; empty: there is none.

    :raises ValueError: for anything else
    """
    if text and not _ENDPOINT.fullmatch(text):
        raise ValueError("expected http:// or https://, a host, and a port if there is one")
    return text.rstrip("/")


SETTINGS = [
    Setting(
        BUCKETS,
        {"bucket": "s3://bucket"},
        "Base URI of each bucket that may notify the server, as a JSON object.",
        parse_buckets,
    ),
    Setting(
        NETWORKS,
        ["127.0.0.1/32"],
        "Addresses and networks, comma-separated, from which object stores may notify the server.",
        parse_networks,
    ),
    Setting(
        SECRET,
        "",
        "What object stores must send, too: as `Authorization: Bearer`, as the password of `Basic`, or as the end of"
        " the path; 16 characters or more. Empty: the network alone decides.",
        parse_secret,
    ),
    Setting(SECRET_FILE, "", "File with that secret, which none but the server should read."),
    Setting(
        TOPICS,
        [],
        "SNS topics of AWS, comma-separated ARNs, whose signed messages are accepted from anywhere.",
        parse_topics,
    ),
    Setting(
        ENDPOINT,
        "",
        "Where certificates of SNS are fetched and subscriptions confirmed, for a service that is not that of AWS.",
        parse_endpoint,
    ),
]
