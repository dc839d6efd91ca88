"""The same search for programs: as a command of curl, and in Python."""

from __future__ import annotations

import shlex

from dservercore.settings.external_url import external_url
from dservercore.web.search.asked import PAGE_SIZE, Asked


def api_parameters(asked: Asked) -> list[tuple[str, str]]:
    """Return the parameters with which ``GET /uris`` answers with the results of the page."""
    given = [(name, value) for name, value in asked.parameters() if name != "sort"]
    return [*given, ("sort", asked.order), ("group", "uuid")]


def as_curl(asked: Asked) -> str:
    """Return a command for a shell."""
    lines = [
        f"curl --get {shlex.quote(external_url('/uris'))}",
        '--header "Authorization: Bearer $TOKEN"',
        *(f"--data-urlencode {shlex.quote(f'{name}={value}')}" for name, value in api_parameters(asked)),
    ]
    return " \\\n  ".join(lines)


def as_requests(asked: Asked) -> str:
    """Return a program for Python and its package ``requests``."""
    parameters = "".join(f"        ({name!r}, {value!r}),\n" for name, value in api_parameters(asked))
    return (
        "import os\n"
        "import requests\n\n"
        "answer = requests.get(\n"
        f"    {external_url('/uris')!r},\n"
        '    headers={"Authorization": f"Bearer {os.environ[\'TOKEN\']}"},\n'
        f"    params=[\n{parameters}    ],\n"
        ")\n"
        "answer.raise_for_status()\n"
        "for dataset in answer.json():\n"
        '    print(dataset["name"], dataset["uri"])\n'
    )


def as_dtool_lookup_api(asked: Asked) -> str | None:
    """Return a program for Python and ``dtool-lookup-api``; None: that cannot ask so."""
    if asked.is_strict or asked.of("uploaded_by"):
        return None
    given = {"free_text": asked.text} if asked.text else {}
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
        f"datasets = dtool_lookup_api.get_datasets(\n{''.join(arguments)})\n"
        "for dataset in datasets:\n"
        '    print(dataset["name"], dataset["uri"])\n'
    )
