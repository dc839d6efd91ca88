"""The OpenAPI document is valid and tells the whole truth: every route, method, parameter, body, status and guard.

That the answers are as it says is checked for each answer of all tests in this directory, by their client.
"""

from __future__ import annotations

import re

import pytest
from openapi_spec_validator import validate

from api.openapi import NOT_MODIFIED, OpenAPIDocument, path_template
from dservercore.dataset.conditions import CONDITIONS

#: Which routes anybody may ask.
PUBLIC = {"/config/versions", "/config/health", "/config/ready"}

#: Routes that need no token because they give or end what is as good as one, and that pages of other sites may not use.
OF_BROWSERS = {"/auth/token", "/auth/logout"}

#: Routes that only administrators may use, where others get a 403.
ADMINISTRATION = re.compile(r"/(users|base-uris|audit)(/|$)")

#: Of what is no JSON.
MEDIA_TYPES = {"/uris.csv": "text/csv", "/uris.ndjson": "application/x-ndjson"}


@pytest.fixture(scope="module")
def document(shared_app) -> OpenAPIDocument:
    return shared_app.test_client_class.document


@pytest.fixture(scope="module")
def operations(document):
    return {(path, method): operation for path, method, operation in document.operations()}


def routes(app):
    """Yield path and method of every route but the documentation itself and pages."""
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/doc/") and not rule.endpoint.startswith("web."):
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                yield path_template(rule.rule), method


def test_it_is_valid(document):
    validate(document.content)
    assert document.content["openapi"] == "3.0.2"
    assert document.content["info"] == {"title": "dserver API", "version": "v1"}


def test_it_has_every_route_and_method_and_no_other(shared_app, operations):
    assert set(operations) == set(routes(shared_app))


def test_every_operation_says_what_it_does(operations):
    for where, operation in operations.items():
        assert operation.get("summary", "").endswith("."), where
        assert operation["tags"], where


def test_operations_have_names_of_their_own(operations):
    names = [operation["operationId"] for operation in operations.values() if "operationId" in operation]
    assert len(names) == len(set(names))


def test_every_part_of_a_path_is_a_parameter(document):
    for path, described in document.content["paths"].items():
        parameters = [p for p in described.get("parameters", []) if p["in"] == "path"]
        assert {p["name"] for p in parameters} == set(re.findall(r"{(\w+)}", path))
        assert all(p["required"] for p in parameters)


def test_a_token_is_needed_where_the_route_is_not_public(document, operations):
    assert document.content["components"]["securitySchemes"]["bearerAuth"]["scheme"] == "bearer"
    for (path, method), operation in operations.items():
        expected = [] if path in PUBLIC | OF_BROWSERS else [{"bearerAuth": []}]
        assert operation["security"] == expected, (path, method)


def test_errors_that_follow_from_what_a_route_takes(operations):
    for (path, method), operation in operations.items():
        statuses = set(operation["responses"])
        if path not in PUBLIC | OF_BROWSERS:
            assert {"401", "422"} <= statuses, (path, method)  # a token can be missing, or no token
        assert ("requestBody" in operation) == ({"400", "413"} <= statuses), (path, method)
        if ADMINISTRATION.match(path):
            assert "403" in statuses, (path, method)
        if path in PUBLIC:
            assert not {"401", "403"} & statuses
        if path in OF_BROWSERS:
            assert "403" in statuses


@pytest.mark.parametrize("path", ["/uris", "/uuids/{uuid}", "/users", "/base-uris", "/audit"])
def test_lists_have_pages_and_an_order(operations, path):
    for method in ("GET", "POST"):
        operation = operations.get((path, method))
        if operation is None:
            continue
        parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
        assert {"page", "page_size", "sort"} <= set(parameters)
        assert parameters["page_size"]["schema"]["maximum"] == 100
        search = {"X-Search"} if path == "/uris" else set()
        assert set(operation["responses"]["200"]["headers"]) == {"X-Pagination", "X-Sort"} | search
        assert "404" in operation["responses"]


def test_which_fields_can_be_sorted_by(operations):
    def allowed(path):
        (sort,) = [p for p in operations[path, "GET"]["parameters"] if p["name"] == "sort"]
        return {field.lstrip("+-") for field in sort["schema"]["items"]["enum"]}

    fields = {"base_uri", "created_at", "creator_username", "frozen_at", "name", "uri", "uuid"}
    assert allowed("/uris") == fields | {"relevance"}
    assert allowed("/uuids/{uuid}") == fields
    assert allowed("/users") == {"username", "is_admin"}
    assert allowed("/base-uris") == {"base_uri", "number_of_datasets", "size_in_bytes", "last_indexed"}
    assert allowed("/audit") == {"at"}


def test_searches_take_the_same_filters_as_parameters_and_in_a_body(document, operations):
    filters = {"free_text", "creator_usernames", "base_uris", "uuids", "tags", "uploaded_by"}
    parameters = {parameter["name"] for parameter in operations["/uris", "GET"]["parameters"]}
    assert parameters == filters | {"page", "page_size", "sort", "strict", "include", "group"}
    assert set(body_of(document, operations["/uris", "POST"])["properties"]) == filters | CONDITIONS


@pytest.mark.parametrize("path", ["/uris.csv", "/uris.ndjson"])
def test_exports_take_what_searches_take_but_pages(document, operations, path):
    for method in ("GET", "POST"):
        search, export = operations["/uris", method], operations[path, method]
        names = {parameter["name"] for parameter in search["parameters"]}
        names -= {"page", "page_size", "include", "group"}
        assert {parameter["name"] for parameter in export["parameters"]} == names
        assert set(export["responses"]["200"]["headers"]) == {"X-Search", "X-Sort"}
    bodies = [operations[each, "POST"]["requestBody"]["content"] for each in ("/uris", path)]
    assert bodies[0] == bodies[1]


def test_what_was_done_to_a_query_is_described(document, operations):
    for method in ("GET", "POST"):
        header = operations["/uris", method]["responses"]["200"]["headers"]["X-Search"]
        assert "absent" in header["description"]
        described = document.resolved(header["schema"])
        assert set(described["required"]) == {"corrected", "optional", "strict_total"}


def test_a_document_to_register_has_these_fields(document, operations):
    body = body_of(document, operations["/uris/{uri}", "PUT"])
    assert set(body["properties"]) == {
        "uuid", "base_uri", "uri", "name", "type", "readme", "manifest", "creator_username", "frozen_at", "annotations",
        "tags", "created_at", "number_of_items", "size_in_bytes", "dtoolcore_version",
    }  # fmt: skip


def test_edits_say_whether_the_storage_was_updated(operations):
    for (path, method), operation in operations.items():
        edits = re.match(r"/(readmes|tags|annotations)/", path) and method != "GET"
        headers = operation["responses"].get("200", {}).get("headers", {})
        assert bool(edits) == ("X-Storage-Updated" in headers), (path, method)


def test_every_success_and_error_has_a_schema(document, operations):
    for where, operation in operations.items():
        for status in operation["responses"].keys() - {NOT_MODIFIED}:
            response = operation["responses"][status]
            media_type = MEDIA_TYPES.get(where[0]) if status == "200" else None
            content = document.resolved(response)["content"]
            assert content[media_type or "application/json"]["schema"], (where, status)


def test_the_client_of_these_tests_notices_what_is_not_documented(shared_app, document, champion):
    """Or else all of them would check nothing."""
    answer = champion.get("/me")

    def checked_against(change) -> None:
        content = shared_app.test_client().get("/doc/openapi.json").json
        change(content)
        OpenAPIDocument(content).check(shared_app.url_map, answer)

    checked_against(lambda content: None)
    for change in (
        lambda content: content["paths"].pop("/me"),
        lambda content: content["paths"]["/me"].pop("get"),
        lambda content: content["paths"]["/me"]["get"]["responses"].pop("200"),
        lambda content: content["paths"]["/me"]["get"]["responses"]["200"].pop("content"),
        lambda content: content["components"]["schemas"]["UserObject"]["properties"].pop("is_admin"),
        lambda content: content["components"]["schemas"]["UserObject"]["properties"]["username"].update(
            type="integer"
        ),
    ):
        with pytest.raises(AssertionError):
            checked_against(change)


def body_of(document, operation):
    return document.resolved(operation["requestBody"]["content"]["application/json"]["schema"])
