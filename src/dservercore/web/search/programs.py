"""The same search for programs: as a command of curl, and in Python."""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import urlencode

from dservercore.settings.external_url import external_url
from dservercore.web.search.asked import PAGE_SIZE, Asked

_EACH_RESULT = (
    'answer.raise_for_status()\nfor dataset in answer.json():\n    print(dataset["name"], dataset["uri"])\n'
)


def api_parameters(asked: Asked) -> list[tuple[str, str]]:
    """Return the parameters with which ``GET /uris`` answers with the results of the page."""
    given = [(name, value) for name, value in asked.parameters() if name != "sort"]
    return [*given, ("sort", asked.order), ("group", "uuid")]


def _structured_request(asked: Asked) -> tuple[str, dict[str, Any]]:
    """Return the address and the body by which ``POST /mongo/query`` answers with the results of the page."""
    given = {"page": asked.page, "page_size": asked.page_size, "sort": asked.order}
    query: Any = json.loads(asked.text)
    filters = {name: list(values) for name, values in asked.filters.items()}
    if uploaded_by := filters.pop("uploaded_by", None):
        query = {"$and": [query, {"uploaded_by": {"$in": uploaded_by}}]}
    return f"{external_url('/mongo/query')}?{urlencode(given)}", {"query": query, **filters}


def as_curl(asked: Asked) -> str:
    """Return a command for a shell."""
    if asked.is_structured:
        address, body = _structured_request(asked)
        return " \\\n  ".join(
            (
                f"curl {shlex.quote(address)}",
                '--header "Authorization: Bearer $TOKEN"',
                "--header 'Content-Type: application/json'",
                f"--data {shlex.quote(json.dumps(body, ensure_ascii=False))}",
            )
        )
    lines = [
        f"curl --get {shlex.quote(external_url('/uris'))}",
        '--header "Authorization: Bearer $TOKEN"',
        *(f"--data-urlencode {shlex.quote(f'{name}={value}')}" for name, value in api_parameters(asked)),
    ]
    return " \\\n  ".join(lines)


def as_requests(asked: Asked) -> str:
    """Return a program for Python and its package ``requests``."""
    if asked.is_structured:
        address, body = _structured_request(asked)
        return (
            "import os\n"
            "import requests\n\n"
            "answer = requests.post(\n"
            f"    {address!r},\n"
            '    headers={"Authorization": f"Bearer {os.environ[\'TOKEN\']}"},\n'
            f"    json={body!r},\n"
            ")\n" + _EACH_RESULT
        )
    parameters = "".join(f"        ({name!r}, {value!r}),\n" for name, value in api_parameters(asked))
    return (
        "import os\n"
        "import requests\n\n"
        "answer = requests.get(\n"
        f"    {external_url('/uris')!r},\n"
        '    headers={"Authorization": f"Bearer {os.environ[\'TOKEN\']}"},\n'
        f"    params=[\n{parameters}    ],\n"
        ")\n" + _EACH_RESULT
    )


def as_dtool_lookup_api(asked: Asked) -> str | None:
    """Return a program for Python and ``dtool-lookup-api``; None: that cannot ask so."""
    if asked.is_strict or asked.of("uploaded_by"):
        return None
    function, given = "get_datasets", {"free_text": asked.text} if asked.text else {}
    if asked.is_structured:
        function, given = "get_datasets_by_mongo_query", {"query": json.loads(asked.text)}
    arguments = [f"    {name}={value!r},\n" for name, value in given.items()]
    for name in ("creator_usernames", "base_uris", "uuids", "tags"):
        if asked.of(name):
            arguments.append(f"    {name}={list(asked.of(name))!r},\n")
    if asked.page > 1:
        arguments.append(f"    page_number={asked.page},\n")
    if asked.page_size != PAGE_SIZE:
        arguments.append(f"    page_size={asked.page_size},\n")
    order = asked.sort_parameters.order
    arguments += [
        f"    sort_fields={list(order)!r},\n",
        f"    sort_order={list(order.values())!r},\n",
    ]
    return (
        "import dtool_lookup_api\n\n"
        f"datasets = dtool_lookup_api.{function}(\n{''.join(arguments)})\n"
        "for dataset in datasets:\n"
        '    print(dataset["name"], dataset["uri"])\n'
    )
