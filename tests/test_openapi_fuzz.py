"""Requests made from the OpenAPI document, sent by everybody: every answer is one that the document has.

``make fuzz`` sends many more of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dservercore import create_app, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration, users
from dservercore.catalog.scope import OPERATOR
from support.extensions import BUNDLED
from support.fuzzing import examples
from support.stores import disagreements
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, STRANGER, dataset_info
from support.worlds import World, world

pytestmark = pytest.mark.attack

ROOT = "root"  # may do everything
INFO = dataset_info(uuid="3fa85f64-5717-4562-b3fc-2c963f66afa6")


def headers_hold_json(_context: Any, response: Any, _case: Any) -> None:
    """The document gives the schema of what is in these headers, as the original does, and not of their text."""
    for name, members in (("x-pagination", {"total", "total_pages"}), ("x-sort", {"sort"})):
        for text in response.headers.get(name, ()):
            assert members <= json.loads(text).keys()


def no_error_of_the_server(_context: Any, response: Any, case: Any) -> None:
    """Nothing is an error of the server, but for 501 where there is nothing to sign URLs with."""
    assert response.status_code < 500 or (response.status_code == 501 and "/signed-urls/" in case.path)


CHECKS = [
    no_error_of_the_server,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    headers_hold_json,
]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("fuzz"), key_pair) as here:
        with here.app.app_context():
            users.add_user(ROOT, is_admin=True)
            base_uris.put_base_uri(RED, [ROOT, CHAMPION, READER], [ROOT, CHAMPION])
            registration.register_dataset(OPERATOR, operator_scope("register"), INFO)
            sql_db.session.commit()
        yield here
        assert disagreements(here.database) == []


@pytest.fixture(scope="module")
def document(here: World) -> Any:
    return schemathesis.openapi.from_wsgi("/doc/openapi.json", here.app)


def operations() -> Iterator[tuple[str, str, GenerationMode]]:
    """Yield method and path of every operation, once for requests as they should be, and once for others."""
    paths = create_app({"DSERVER_EXTENSIONS": BUNDLED}).test_client().get("/doc/openapi.json").json["paths"]
    for path, described in paths.items():
        for method, operation in described.items():
            if method == "parameters":
                continue
            yield method.upper(), path, GenerationMode.POSITIVE
            if {"parameters", "requestBody"} & operation.keys() or "parameters" in described:
                yield method.upper(), path, GenerationMode.NEGATIVE


#: What is there, so that some requests come further than to the question whether it is.
THERE = {
    "uri": [INFO["uri"], INFO["uri"].replace("://", "/"), f"{RED}/x", f"{BLUE}/x"],
    "base_uri": [RED, BLUE, "s3/red", "s3://green"],
    "username": [CHAMPION, READER, "newcomer"],
    "uuid": [INFO["uuid"], INFO["uuid"].upper()],
    "name": ["soil", "new"],
    "tag": ["beans", "new"],
}


def test_there_is_something_to_send() -> None:
    assert len(list(operations())) > 60


@pytest.mark.parametrize(("method", "path", "mode"), list(operations()))
def test_every_answer_is_documented(
    here: World, document: Any, method: str, path: str, mode: GenerationMode
) -> None:
    operation = document[path][method]

    @examples(15)
    @given(data=st.data())
    def send(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        for name, values in THERE.items():
            if name in (case.path_parameters or {}) and data.draw(st.booleans()):
                case.path_parameters[name] = data.draw(st.sampled_from(values))
        sender = data.draw(st.sampled_from([ROOT, ADMIN, CHAMPION, READER, NOBODY, STRANGER, None]))
        headers = here.bearer(sender) if sender else {}
        case.call_and_validate(headers=headers, checks=CHECKS)

    send()
    restore(here)


def restore(here: World) -> None:
    """Bring back what the requests may have removed."""
    here.forget_tokens()
    with here.app.app_context():
        users.put_user(ROOT, {"is_admin": True})
        users.put_user(ADMIN, {"is_admin": True})
        for name in (CHAMPION, READER, NOBODY):
            users.put_user(name, {"is_admin": False})
        base_uris.put_base_uri(RED, [ROOT, CHAMPION, READER], [ROOT, CHAMPION])
        base_uris.put_base_uri(BLUE, [ROOT, READER], [ROOT])
        registration.register_dataset(OPERATOR, operator_scope("register"), INFO)
        sql_db.session.commit()
