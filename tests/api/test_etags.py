"""Entity tags: what a client has read it need not fetch again, and it changes nothing that it has not read."""

from __future__ import annotations

import hashlib
import json

import pytest

from api.conftest import on_every_store, on_usual_stores, route

pytestmark = on_every_store

SITE = "https://lookup.example.org"

#: The resources whose values can be edited, with the key of the value, and a value to replace it.
EDITABLE = {
    "readmes": ("readme", "new"),
    "tags": ("tags", ["peas"]),
    "annotations": ("annotations", {"ph": 6}),
}
RESOURCES = [*EDITABLE, "manifests"]

#: Every way to edit: method, resource, the end of the path, body.
EDITS = [
    ("PUT", "readmes", (), {"readme": "new"}),
    ("PUT", "tags", (), {"tags": ["peas"]}),
    ("POST", "tags", ("peas",), None),
    ("DELETE", "tags", ("beans",), None),
    ("PUT", "annotations", (), {"annotations": {"ph": 6}}),
    ("PUT", "annotations", ("ph",), {"value": 6}),
    ("DELETE", "annotations", ("soil",), None),
]
every_edit = pytest.mark.parametrize(("method", "resource", "end", "body"), EDITS)

OTHER = '"0123456789abcdef"'
MALFORMED = [
    "",
    " ",
    "abc",
    '"abc',
    'abc"',
    "'abc'",
    '"a" "b"',
    '"a", b',
    '*, "a"',
    '"a", *',
    'w/"a"',
    '"a\tb"',
    "**",
]


@pytest.fixture
def uri(register):
    return register(tags=["beans", "2026"], annotations={"soil": "loam"})["uri"]


@pytest.fixture
def edit(champion, uri):
    """``edit(...)`` makes one of EDITS with these headers."""

    def make(method, resource, end, body, client=champion, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.open(route(resource, uri, *end), method=method, json=body, headers=names)

    return make


def tag_of(client, resource, uri):
    answer = client.get(route(resource, uri))
    assert answer.status_code == 200
    return answer.headers["ETag"]


class TestReading:
    @pytest.mark.parametrize("resource", RESOURCES)
    def test_says_which_value_it_is(self, champion, reader, uri, resource):
        answer = champion.get(route(resource, uri))
        assert answer.headers["ETag"] == tag_of(reader, resource, uri)
        assert champion.head(route(resource, uri)).headers["ETag"] == answer.headers["ETag"]

    @pytest.mark.parametrize("resource", EDITABLE)
    def test_it_is_a_digest_of_the_answer_whatever_the_store(self, champion, uri, resource):
        answer = champion.get(route(resource, uri))
        canonical = json.dumps(answer.json, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert (
            answer.headers["ETag"] == f'"{hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()}"'
        )

    @pytest.mark.parametrize("resource", RESOURCES)
    def test_who_has_it_already_is_told_so(self, champion, uri, resource):
        tag = tag_of(champion, resource, uri)
        for given in (tag, f"W/{tag}", f"{OTHER}, {tag}", f",W/{OTHER} ,\t{tag},", "*"):
            for method in ("GET", "HEAD"):
                headers = {"If-None-Match": given, "Origin": SITE}
                answer = champion.open(route(resource, uri), method=method, headers=headers)
                assert (answer.status_code, answer.data) == (304, b"")
                assert answer.headers["ETag"] == tag
                assert answer.headers["Access-Control-Allow-Origin"] == SITE
                assert answer.headers["X-Request-ID"]

    @pytest.mark.parametrize("resource", RESOURCES)
    def test_who_has_another_gets_it(self, champion, uri, resource):
        for given in (OTHER, f"W/{OTHER}", *MALFORMED):
            answer = champion.get(route(resource, uri), headers={"If-None-Match": given})
            assert (answer.status_code, answer.headers["ETag"]) == (200, tag_of(champion, resource, uri))
            assert answer.json

    @pytest.mark.parametrize("resource", RESOURCES)
    def test_permission_comes_first(self, anonymous, nobody, champion, uri, resource):
        headers = {"If-None-Match": f"{tag_of(champion, resource, uri)}, *"}
        for name in ("If-None-Match", "If-Match"):
            for client, status in ((anonymous, 401), (nobody, 403)):
                answer = client.get(route(resource, uri), headers={name: headers["If-None-Match"]})
                assert answer.status_code == status
                assert "ETag" not in answer.headers
        answer = champion.get(route(resource, "s3://red/missing"), headers={"If-None-Match": "*"})
        assert answer.status_code == 404
        assert "ETag" not in answer.headers

    @pytest.mark.parametrize("resource", RESOURCES)
    def test_on_condition_that_it_is_still_the_same(self, champion, uri, resource):
        tag = tag_of(champion, resource, uri)
        for given, status in ((tag, 200), ("*", 200), (OTHER, 412), (f"W/{tag}", 412), ("abc", 422)):
            assert champion.get(route(resource, uri), headers={"If-Match": given}).status_code == status

    def test_a_registration_anew_counts(self, champion, register):
        info = register()
        before = {resource: tag_of(champion, resource, info["uri"]) for resource in RESOURCES}
        items = {"0" * 40: {"relpath": "x", "hash": "x", "size_in_bytes": 1, "utc_timestamp": 1.0}}
        changed = {
            **info,
            **dict(EDITABLE.values()),
            "manifest": {**info["manifest"], "items": items},
        }
        for document, are_same in ((info, True), (changed, False)):
            assert champion.put(route("uris", info["uri"]), json=document).status_code == 200
            for resource in RESOURCES:
                assert (tag_of(champion, resource, info["uri"]) == before[resource]) == are_same


class TestEditing:
    @every_edit
    def test_answers_with_the_tag_of_the_new_value(self, champion, uri, edit, method, resource, end, body):
        before = tag_of(champion, resource, uri)
        answer = edit(method, resource, end, body)
        assert answer.status_code == 200
        assert answer.headers["ETag"] == tag_of(champion, resource, uri) != before

    @every_edit
    def test_of_what_was_read(self, champion, uri, edit, method, resource, end, body):
        tag = tag_of(champion, resource, uri)
        assert edit(method, resource, end, body, If_Match=f"{OTHER}, W/{OTHER}, {tag}").status_code == 200
        assert edit(method, resource, end, body, If_Match=tag).status_code == 412

    @every_edit
    def test_of_what_somebody_else_has_changed_meanwhile(
        self, champion, uri, edit, method, resource, end, body
    ):
        tag = tag_of(champion, resource, uri)
        key, _value = EDITABLE[resource]
        theirs = {"readme": "theirs", "tags": ["theirs", "beans"], "annotations": {"soil": "theirs"}}[key]
        assert champion.put(route(resource, uri), json={key: theirs}).status_code == 200
        answer = edit(method, resource, end, body, If_Match=tag)
        assert answer.status_code == 412
        assert answer.json["status"] == "Precondition Failed"
        assert "If-Match" in answer.json["message"]
        assert "ETag" not in answer.headers
        assert champion.get(route(resource, uri)).json == {key: theirs}

    @every_edit
    def test_whatever_it_is(self, edit, method, resource, end, body):
        assert edit(method, resource, end, body, If_Match="*").status_code == 200
        assert edit(method, resource, end, body).status_code == 200

    @every_edit
    @pytest.mark.parametrize("given", [OTHER, "W/{tag}", "W/{tag}, " + OTHER, '""'])
    def test_of_another_value_changes_nothing(self, champion, uri, edit, method, resource, end, body, given):
        before = champion.get(route(resource, uri))
        answer = edit(method, resource, end, body, If_Match=given.format(tag=before.headers["ETag"]))
        assert answer.status_code == 412
        assert champion.get(route(resource, uri)).json == before.json

    @every_edit
    def test_only_if_it_is_not_one_of_these(self, champion, uri, edit, method, resource, end, body):
        tag = tag_of(champion, resource, uri)
        for given in ("*", tag, f"W/{tag}", f"{OTHER}, {tag}"):
            answer = edit(method, resource, end, body, If_None_Match=given)
            assert (answer.status_code, tag_of(champion, resource, uri)) == (412, tag)
            assert "If-None-Match" in answer.json["message"]
        assert edit(method, resource, end, body, If_Match=tag, If_None_Match=tag).status_code == 412
        assert edit(method, resource, end, body, If_Match=tag, If_None_Match=OTHER).status_code == 200

    @on_usual_stores
    @every_edit
    def test_a_header_that_is_no_list_of_tags(self, champion, uri, edit, method, resource, end, body):
        before = champion.get(route(resource, uri)).json
        for header in ("If-Match", "If-None-Match"):
            for given in MALFORMED:
                answer = edit(method, resource, end, body, **{header: given})
                assert answer.status_code == 422, given
                assert list(answer.json["errors"]["headers"]) == [header]
        assert champion.get(route(resource, uri)).json == before

    @every_edit
    def test_permission_and_existence_come_first(
        self, anonymous, nobody, reader, champion, uri, edit, method, resource, end, body
    ):
        tag = tag_of(champion, resource, uri)
        for given in (tag, OTHER, "*"):
            for client, status in ((anonymous, 401), (nobody, 403), (reader, 403)):
                assert edit(method, resource, end, body, client, If_Match=given).status_code == status
            missing = route(resource, "s3://red/missing", *end)
            answer = champion.open(missing, method=method, json=body, headers={"If-Match": given})
            assert answer.status_code == 404

    @pytest.mark.parametrize("resource", ["tags", "annotations"])
    def test_who_may_not_read_the_value_cannot_guess_it(self, admin, champion, nobody, uri, edit, resource):
        admin.post("/users/nora/register/s3/red")
        key, value = EDITABLE[resource]
        for given in (tag_of(champion, resource, uri), OTHER):
            for header in ("If_Match", "If_None_Match"):
                answer = edit("PUT", resource, (), {key: value}, nobody, **{header: given})
                assert answer.status_code == 403
        assert edit("PUT", resource, (), {key: value}, nobody).status_code == 200

    def test_a_web_page_may_do_all_of_this(self, anonymous, champion, uri):
        answer = anonymous.options(
            route("tags", uri),
            headers={
                "Origin": SITE,
                "Access-Control-Request-Method": "PUT",
                "Access-Control-Request-Headers": "authorization, content-type, if-match, if-none-match",
            },
        )
        assert {"if-match", "if-none-match"} <= set(
            answer.headers["Access-Control-Allow-Headers"].replace(" ", "").split(",")
        )
        answer = champion.get(route("tags", uri), headers={"Origin": SITE})
        assert "ETag" in answer.headers["Access-Control-Expose-Headers"]


class TestValues:
    VALUES = [
        {},
        {"b": 1, "a": {"d": [1, 2.0, -0.0, 1e16, 1e-7, True, None], "c": ""}},
        {"a.b": 2**63 - 1, "c": -(2**63), "d": 0.1, "e": 1.0},
        {"deep": [[[[[["x"]]]]]], "text": 'é😀"\\\u2028', "$set": {"$x": "$y", "": 0}},
    ]

    @pytest.mark.parametrize("annotations", VALUES, ids=range(len(VALUES)))
    def test_what_an_edit_says_is_what_a_reader_gets(self, champion, uri, annotations):
        answer = champion.put(route("annotations", uri), json={"annotations": annotations})
        if answer.status_code == 422:  # a name that dtool does not have
            annotations = {"inner": annotations}
            answer = champion.put(route("annotations", uri), json={"annotations": annotations})
        assert answer.status_code == 200
        assert answer.headers["ETag"] == tag_of(champion, "annotations", uri)

    def test_the_order_of_annotations_is_none_of_the_value(self, champion, register):
        one = register(annotations={"a": {"x": 1, "y": 2}, "b": 2})["uri"]
        other = register(annotations={"b": 2, "a": {"y": 2, "x": 1}})["uri"]
        assert tag_of(champion, "annotations", one) == tag_of(champion, "annotations", other)

    def test_the_order_of_tags_is_part_of_it(self, champion, register):
        one, other = register(tags=["a", "b"])["uri"], register(tags=["b", "a"])["uri"]
        assert tag_of(champion, "tags", one) != tag_of(champion, "tags", other)

    @pytest.mark.parametrize("readme", ["", "\n", "ü😀", "a" * 100_000])
    def test_readmes(self, champion, uri, readme):
        answer = champion.put(route("readmes", uri), json={"readme": readme})
        assert answer.headers["ETag"] == tag_of(champion, "readmes", uri)

    def test_of_several_edits_each_on_what_the_one_before_has_left(self, champion, uri):
        tag = tag_of(champion, "tags", uri)
        for number in range(5):
            answer = champion.post(route("tags", uri, f"t{number}"), headers={"If-Match": tag})
            assert answer.status_code == 200
            tag = answer.headers["ETag"]
        assert champion.get(route("tags", uri)).json["tags"][2:] == [f"t{number}" for number in range(5)]


def test_every_edit_documents_its_conditions(shared_app):
    paths = shared_app.test_client_class.document.content["paths"]
    for method, resource, end, _body in EDITS:
        path = f"/{resource}/{{uri}}" + ("/{tag}" if end and resource == "tags" else "/{name}" if end else "")
        operation = paths[path][method.lower()]
        assert {"If-Match", "If-None-Match"} <= {parameter["name"] for parameter in operation["parameters"]}
        assert "ETag" in operation["responses"]["200"]["headers"]
        assert "412" in operation["responses"]
