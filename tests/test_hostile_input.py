"""Nothing that a client can send gives a 5xx, or leaves a dataset half-written."""

from __future__ import annotations

import copy
import gzip
import json
import math
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from dservercore import sql_db
from dservercore.catalog import users
from dservercore.web.pages import Pages
from support.fuzzing import examples
from support.stores import disagreements
from support.world import BLUE, CHAMPION, RED, dataset_info
from support.worlds import World, world

pytestmark = pytest.mark.attack

ROOT = "root"  # an administrator with every permission, whom no guard stops before the input is looked at


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
    """A world that is shot at. Whatever was accepted or refused: in the end its parts agree."""
    with world(tmp_path_factory.mktemp("target"), key_pair, DSERVER_MAX_TAGS=20_000) as standing:
        with standing.app.app_context():
            users.add_user(ROOT, is_admin=True)
            sql_db.session.commit()
        yield standing
        assert disagreements(standing.database) == []


@pytest.fixture
def target(standing: World) -> World:
    """The same world, after the repair of what the last test may have changed on purpose."""
    repair(standing)
    return standing


def repair(target: World) -> None:
    """Bring back the users, the base URIs and what ROOT may do in them."""
    assert target.send("PUT", f"/users/{CHAMPION}", ROOT, json={}).status_code in (200, 201)
    for base_uri in (RED, BLUE):
        answer = target.send("PUT", f"/base-uris/{base_uri}", ROOT, json=everybody(CHAMPION))
        assert answer.status_code in (200, 201)


def everybody(*usernames: str) -> dict[str, Any]:
    return {
        "users_with_search_permissions": [ROOT, *usernames],
        "users_with_register_permissions": [ROOT, *usernames],
    }


@pytest.fixture
def info(target: World) -> Iterator[dict[str, Any]]:
    """A dataset that is registered for the time of a test."""
    info = dataset_info()
    assert target.send("PUT", f"/uris/{info['uri']}", ROOT, json=info).status_code == 201
    yield info
    target.send("DELETE", f"/uris/{info['uri']}", ROOT)


def shoot(target: World, method: str, path: str, case: object = "", **options: Any) -> TestResponse:
    """Send a request as ROOT; check that it is answered properly, and that one that is refused changes nothing."""
    before = target.version()
    answer = target.send(method, path, ROOT, **options)
    label = f"{method} {path[:200]} {str(case)[:200]}: {answer.status_code} {answer.text[:300]}"
    # 501: there is nothing to sign URLs with for the storage of these datasets
    assert answer.status_code < 500 or answer.status_code == 501, label
    if answer.status_code >= 400:
        assert target.version() == before, label
        if method != "HEAD":
            check_error(answer, label)
    return answer


def check_error(answer: TestResponse, label: str) -> None:
    if answer.mimetype == "text/html":  # a page, for who prefers one
        assert "html" in answer.request.headers["Accept"], label
    else:
        assert answer.mimetype == "application/json", label
        error = json.loads(answer.data)
        assert error.get("code") == answer.status_code or isinstance(error.get("msg"), str), label
        assert error["message"], label
    for leak in ("Traceback", "sqlite3", "SELECT ", "/dservercore/"):
        assert leak not in answer.text, label


# -- What is sent ----------------------------------------------------------------------------------------------------


def nested(depth: int, opening: str = "[", closing: str = "]", core: str = "") -> bytes:
    return (opening * depth + core + closing * depth).encode()


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "a space": b" ",
    "null": b"null",
    "an empty array": b"[]",
    "an array of objects": b'[{"uri": "s3://red/x"}]',
    "an empty object": b"{}",
    "a string": b'"x"',
    "a number": b"0",
    "true": b"true",
    "NaN": b"NaN",
    "Infinity": b'{"frozen_at": Infinity}',
    "-Infinity": b"[-Infinity]",
    "1e400": b'{"frozen_at": 1e400}',
    "an integer of 100,000 digits": b'{"size_in_bytes": ' + b"9" * 100_000 + b"}",
    "a fraction of 100,000 digits": b'{"frozen_at": 0.' + b"9" * 100_000 + b"}",
    "unbalanced": b"{",
    "two documents": b"{}{}",
    "trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "10,000 arrays deep": nested(10_000),
    "10,000 objects deep": nested(10_000, '{"a":', "}", "1"),
    "900 arrays deep": b'{"annotations": {"a": ' + nested(900) + b"}}",
    "900 deep with a NUL at the bottom": b'{"annotations": {"a": ' + nested(900, core=r'"\u0000"') + b"}}",
    "900 objects deep with a NUL": nested(900, '{"annotations":', "}", r'"\u0000"'),
    "open arrays": b"[" * 100_000,
    "not UTF-8": b'{"readme": "\xff\xfe"}',
    "overlong UTF-8": b'{"readme": "\xc0\x80"}',
    "a surrogate in UTF-8": b'{"readme": "\xed\xa0\x80"}',
    "half a surrogate pair": rb'{"readme": "\ud800", "tags": ["\udfff"]}',
    "half a surrogate pair as key": rb'{"\ud800": 1}',
    "NUL as key": rb'{"\u0000": 1}',
    "a raw NUL": b'{"readme": "\x00"}',
    "only NUL": b"\x00",
    "a raw line break": b'{"readme": "a\nb"}',
    "UTF-8 with a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"readme": "x"}'.encode("utf-16"),
    "UTF-32": '{"readme": "x"}'.encode("utf-32"),
    "gzip": gzip.compress(b'{"readme": "x"}'),
    "keys twice": b'{"readme": "a", "readme": 5, "tags": [], "tags": null}',
    "prototype keys": b'{"__proto__": 1, "constructor": {}, "__class__": [], "": ""}',
    "10,000 keys": ("{" + ",".join(f'"k{n}": 0' for n in range(10_000)) + "}").encode(),
    "1 MB of spaces": b" " * 2**20,
    "1 MB of text": b'{"readme": "' + b"x" * 2**20 + b'"}',
    "a form": b"readme=x&tags=y",
    "multipart": b'--x\r\nContent-Disposition: form-data; name="readme"\r\n\r\nx\r\n--x--\r\n',
}

CONTENT_TYPES = [
    "application/json; charset=utf-16",
    "application/json; charset=nonsense",
    'application/json; charset="',
    "APPLICATION/JSON",
    "application/vnd.api+json",
    "application/json, text/plain",
    "text/plain",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "image/png",
    "nonsense",
    ";;;",
    "",
]

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    -0.0,
    1e308,
    2**31,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63),
    -(2**63) - 1,
    10**400,
    "",
    " ",
    "0",
    "null",
    "NaN",
    "1e400",
    "-1",
    "9" * 400,
    "x" * 2**20,
    "\0",
    "\ud800",
    "\udfff\ud800",
    "é",
    "e\u0301",
    "\ufeff",
    "\u202egnirts",
    "😀" * 30,
    "line\nbreak",
    "\r\nX-Injected: 1",
    "%00%ff",
    "../../etc/passwd",
    "' OR 1=1 --",
    "{{7*7}}${7*7}",
    [],
    [None],
    [[]],
    [{}],
    [""],
    ["\0"],
    [1] * 10_000,
    {},
    {"": None},
    {"a": {"b": {}}},
    {"$where": "1"},
    json.loads(nested(200)),
]

# In every place of a path where something is named. They are sent as they stand here.
NAMES = [
    "%00",
    "a%00b",
    "%ff",
    "%ED%A0%80",
    "%C0%AF",
    "%",
    "%zz",
    "%25",
    "%252F",
    "..",
    "%2e%2e",
    "../..",
    "..%2F..%2F..%2Fetc%2Fpasswd",
    ".",
    "/",
    "//",
    "a//b",
    "///",
    "%2F",
    "%2F%2F",
    "a/",
    "a%5Cb",
    "%20",
    "%09",
    "%0A",
    "a%0D%0AX-Injected:%201",
    "é",
    "e%CC%81",
    "%F0%9F%98%80",
    "%E2%80%AE",
    "%EF%BB%BF",
    "a" * 2_000,
    "%C3%A9" * 2_000,
    "/" * 2_000,
    "a/" * 2_000,
    "*",
    "'",
    '"',
    "<script>",
    "{}",
    "s3://",
    "s3:",
    "://",
    ":",
    "s3://[::1",
    "s3://[::1]/x",
    "s3://user:word@red/x",
    "s3://red?query/x",
    "s3://red%3Fquery%2Fx",
    "s3://red%23fragment/x",
    "s3://red/x%3Fquery",
    "s3://red/x%23fragment",
    "s3://red/..",
    "s3://red/../blue/x",
    "s3://red//x",
    "S3://red/x",
    "s3%253A%252F%252Fred%252Fx",
    "s3://%E2%84%80/x",
    "s3://red/" + "x" * 1_016,
    "file:///etc/passwd",
    "file://otherhost/etc/passwd",
    "symlink:///etc/passwd",
    "file:///..",
    "javascript:alert(1)",
    "-1",
    "0",
    "null",
    "undefined",
    "NaN",
    "00000000-0000-0000-0000-000000000000",
    "{00000000-0000-0000-0000-000000000000}",
    "urn:uuid:00000000-0000-0000-0000-000000000000",
    "0x000000000000000000000000000000",
    "____________________________________",
    "٣" * 32,
]

TEXTS = [
    "",
    "+",
    "%00",
    "%ff",
    "%ED%A0%80",
    "%",
    "%2",
    "%F0%9F%98%80",
    "null",
    "-",
    "--",
    "-1",
    "0",
    "1.5",
    "1e3",
    "1e400",
    "NaN",
    "Infinity",
    "99999999999999999999",
    "9" * 5_000,
    "9223372036854775807",
    "٣",
    "true",
    "[]",
    "{}",
    ",,,",
    "a,b",
    "+uri,-uri",
    "%2Buri,%2Duri",
    "-relevance",
    "relevance,uri",
    "+" * 100,
    ("uri," * 1_000)[:-1],
    "uri;drop table dataset",
    "'",
    '"',
    '"' * 999,
    "(",
    ")",
    "*",
    "a*",
    "%CC%81*",
    "a*%20b*%20c*",
    "OR",
    "OR%20OR%20OR",
    "a%20OR",
    "-a%20-b",
    "NEAR(a%20b)",
    "name:x",
    "^a",
    "_a|b=c",
    "=all",
    "AND%20NOT",
    "%E0%B8%81%E0%B9%87",
    "%E2%80%8B",
    "x" * 9_000,
    "x" * 20_000,
    "x%20" * 500,
]
PARAMETERS = [
    "page",
    "page_size",
    "sort",
    "free_text",
    "creator_usernames",
    "base_uris",
    "uuids",
    "tags",
    "uploaded_by",
    "with_datasets",
    "unknown",
]


# -- Every route -----------------------------------------------------------------------------------------------------


def routes(app: Any) -> list[tuple[str, str]]:
    """Return the method and rule of every route of the API."""
    pages = {name for name, blueprint in app.blueprints.items() if isinstance(blueprint, Pages)}
    return sorted(
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith("/doc") and rule.endpoint.partition(".")[0] not in pages
        for method in rule.methods - {"HEAD", "OPTIONS"}
    )


VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")


def filled(rule: str, uri: str) -> str:
    """Return a path that *rule* matches and that names things which are there."""
    values = {
        "uri": uri,
        "base_uri": RED,
        "username": CHAMPION,
        "group": "lab",
        "session": "1",
        "session_id": "1",
        "token_id": "1",
        "search_id": "1",
        "uuid": uri.rsplit("/", 1)[-1],
        "name": "soil",
        "tag": "beans",
        "identifier": "e4cc3a7dc281c3d89ed4553293c4b4b110dc9bf3",
        "path": "bucket/events",
    }
    return VARIABLE.sub(lambda variable: values[variable[1]], rule)


def each_route(target: World) -> Iterator[tuple[str, str]]:
    """Yield each route with a path in which everything is there when it comes up, whatever was deleted before."""
    info = dataset_info()
    for method, rule in routes(target.app):
        repair(target)
        assert target.send("PUT", f"/uris/{info['uri']}", ROOT, json=info).status_code in (200, 201)
        assert target.send("PUT", "/groups/lab", ROOT).status_code in (200, 201)
        yield method, filled(rule, info["uri"])
    repair(target)
    target.send("DELETE", f"/uris/{info['uri']}", ROOT)


def few_if_slow(method: str, path: str, cases: Iterable[Any]) -> list[Any]:
    """Return the cases to try on a route: some of them, where each answer waits for the next second."""
    return list(cases)[:: 10 if method == "DELETE" and path.endswith("/tokens") else 1]


def test_every_body_on_every_route(target: World) -> None:
    for method, path in each_route(target):
        for case, body in few_if_slow(method, path, BODIES.items()):
            shoot(target, method, path, case, data=body, content_type="application/json")


def test_every_content_type_on_every_route(target: World) -> None:
    for method, path in each_route(target):
        for content_type in few_if_slow(method, path, CONTENT_TYPES):
            for case in ("an empty object", "not UTF-8", "multipart"):
                shoot(
                    target, method, path, (content_type, case), data=BODIES[case], content_type=content_type
                )


def test_every_query_parameter(target: World) -> None:
    takes_parameters = [
        ("GET", "/uris"),
        ("POST", "/uris"),
        ("GET", "/uuids/3fa85f64-5717-4562-b3fc-2c963f66afa6"),
        ("GET", "/users"),
    ]
    for method, path in [*takes_parameters, ("GET", "/base-uris"), ("DELETE", "/base-uris/s3://green")]:
        for parameter in PARAMETERS:
            for text in TEXTS:
                shoot(target, method, f"{path}?{parameter}={text}")


def test_parameters_where_there_are_none(target: World) -> None:
    for method, path in each_route(target):
        for query in ("page=x&sort=x&free_text=%00", "%ff=%ff&=&&x", f"with_datasets={'9' * 5_000}"):
            shoot(target, method, f"{path}?{query}")


@pytest.mark.parametrize(
    "query",
    [
        "%ff=%ff",
        "%00=1",
        "=",
        "&&&",
        "page",
        "page=1&page=2",
        "page=1;page=2",
        "page[]=1",
        "page=1&page_size=100&sort=&free_text=",
        "tags=a&tags=a&tags=&tags=%00",
        "free_text=a&free_text=b",
        "sort=uri&sort=%00",
        "&".join(f"tags={n}" for n in range(2_000)),
        "&".join(f"p{n}={n}" for n in range(20_000)),
        "?" * 1_000,
        "#" * 10,
    ],
)
def test_query_strings_of_odd_shape(target: World, query: str) -> None:
    for path in ("/uris", "/users", "/base-uris", "/me", f"/uuids/{uuid.uuid4()}"):
        shoot(target, "GET", f"{path}?{query}")


def test_every_name_in_every_place_of_a_path(target: World, info: dict[str, Any]) -> None:
    rules = {rule for _, rule in routes(target.app) if "<" in rule}
    for rule in sorted(rules):
        methods = [method for method, other in routes(target.app) if other == rule]
        for name in NAMES:
            for path in with_name(rule, info["uri"], name):
                for method in methods:
                    shoot(target, method, path, json={} if method in ("PUT", "PATCH", "POST") else None)


def with_name(rule: str, uri: str, name: str) -> Iterator[str]:
    """Yield *rule* with *name* in the place of each of its variables, and what is there in the others."""
    for variable in VARIABLE.findall(rule):
        others = VARIABLE.sub(lambda found, kept=variable: "\0" if found[1] == kept else found[0], rule)
        yield filled(others, uri).replace("\0", name)


@pytest.mark.parametrize(
    "method", ["FOO", "get", "TRACE", "CONNECT", "PROPFIND", "OPTIONS", "HEAD", "A" * 1_000]
)
def test_odd_methods(target: World, method: str) -> None:
    for _, path in {("", filled(rule, f"{RED}/x")) for _, rule in routes(target.app)}:
        answer = shoot(target, method, path)
        assert answer.status_code in (200, 401, 403, 404, 405, 422), path


# -- Every field of every body ---------------------------------------------------------------------------------------

Path_ = tuple[str | int, ...]


def places(document: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of everything in a JSON document, itself included."""
    yield path
    members: Any = document.items() if isinstance(document, dict) else ()
    for key, member in enumerate(document) if isinstance(document, list) else members:
        yield from places(member, (*path, key))


def changed(document: Any, path: Path_, value: Any) -> Any:
    """Return a copy of *document* with *value* at *path*."""
    if not path:
        return value
    document = copy.deepcopy(document)
    *parents, last = path
    parent = document
    for key in parents:
        parent = parent[key]
    parent[last] = value
    return document


def with_unknown_keys(document: Any) -> Iterator[Any]:
    """Yield copies of *document* with one unknown key more, in every object of it."""
    for path in places(document):
        at = document
        for key in path:
            at = at[key]
        if isinstance(at, dict):
            yield changed(document, path, {**at, "unknown": 1})
            yield changed(document, path, {**at, "": 1})


def bodies_with_ugly_values(document: Any) -> Iterator[tuple[object, Any]]:
    for path in places(document):
        for value in VALUES:
            yield (path, value), changed(document, path, value)
    for body in with_unknown_keys(document):
        yield "unknown key", body


BODY_OF = {
    ("POST", "/uris"): {
        "free_text": "beans",
        "creator_usernames": ["olga"],
        "base_uris": [RED],
        "uuids": [str(uuid.uuid4())],
        "tags": ["beans"],
        "uploaded_by": [ROOT],
    },
    ("PUT", "/readmes/{uri}"): {"readme": "x"},
    ("PUT", "/tags/{uri}"): {"tags": ["a"]},
    ("PUT", "/annotations/{uri}"): {"annotations": {"a": [1]}},
    ("PUT", "/annotations/{uri}/a"): {"value": {"b": [1]}},
    ("PUT", f"/users/{CHAMPION}"): {"username": "x", "is_admin": False, "display_name": "Carl"},
    ("PATCH", f"/users/{CHAMPION}"): {"is_admin": False, "display_name": "Carl"},
    ("PATCH", "/me"): {"display_name": "Root"},
    ("PUT", f"/base-uris/{BLUE}"): {"base_uri": "x", **everybody()},
    ("POST", "/base-uris/s3://green"): {"base_uri": "x", **everybody()},
}


@pytest.mark.parametrize(("method", "path"), BODY_OF)
def test_every_field(target: World, info: dict[str, Any], method: str, path: str) -> None:
    for case, body in bodies_with_ugly_values(BODY_OF[method, path]):
        shoot(target, method, path.format(uri=info["uri"]), case, json=body)


def test_every_field_of_a_dataset(target: World) -> None:
    info = dataset_info()
    for case, body in bodies_with_ugly_values(info):
        answer = shoot(target, "PUT", f"/uris/{info['uri']}", case, json=body)
        if answer.status_code in (200, 201):
            check_stored(target, body)
            assert target.send("DELETE", f"/uris/{info['uri']}", ROOT).status_code == 200


def check_stored(target: World, info: dict[str, Any]) -> None:
    """Check that the texts of what was registered come back as they were put."""
    read = {name: read_back(target, name, info["uri"]) for name in ("readmes", "annotations", "tags")}
    assert read["readmes"] == {"readme": info["readme"]}
    assert read["annotations"] == {"annotations": info["annotations"]}
    assert read["tags"] == {"tags": list(dict.fromkeys(info["tags"]))}


def read_back(target: World, resource: str, uri: str) -> Any:
    answer = target.send("GET", f"/{resource}/{quote(uri, safe='')}", ROOT)
    assert answer.status_code == 200, answer.text
    return answer.json


# -- Documents that nobody thought of ---------------------------------------------------------------------------------


def json_of(texts: st.SearchStrategy[str], numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | numbers | texts,
        lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
        max_leaves=12,
    )


def documents(
    *,
    segments: st.SearchStrategy[str | None],
    names: st.SearchStrategy[str],
    texts: st.SearchStrategy[str],
    times: st.SearchStrategy[Any],
    counts: st.SearchStrategy[Any],
    values: st.SearchStrategy[Any],
) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for the fields of a dataset; ``segment`` stands for the end of its URI, None: its UUID."""
    items = {"hash": texts, "relpath": texts, "size_in_bytes": counts, "utc_timestamp": st.floats(0, 1e12)}
    manifest = {
        "hash_function": texts,
        "dtoolcore_version": texts,
        "items": st.dictionaries(texts, st.fixed_dictionaries({}, optional=items), max_size=5),
    }
    fields = {
        "segment": segments,
        "name": texts.filter(lambda text: 0 < len(text) <= 80),
        "creator_username": texts.filter(lambda text: 0 < len(text) <= 255),
        "readme": texts,
        "frozen_at": times,
        "annotations": st.dictionaries(names, values, max_size=5),
        "tags": st.lists(names, max_size=8),
        "manifest": st.fixed_dictionaries({}, optional=manifest),
    }
    optional = {"created_at": times, "number_of_items": counts, "size_in_bytes": counts}
    return st.fixed_dictionaries(fields, optional=optional)


good_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
good_names = st.from_regex(r"[0-9a-zA-Z_.-]{1,80}", fullmatch=True).filter(lambda name: name.strip("."))
good_segments = good_names | st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/?#"), min_size=1
)
good_times = st.floats(-6e10, 2.5e11) | st.integers(-60_000_000_000, 250_000_000_000)
good_counts = st.integers(0, 2**63 - 1) | st.integers(0, 100)
good_documents = documents(
    segments=st.none() | good_segments.filter(lambda segment: segment not in (".", "..")),
    names=good_names,
    texts=good_texts | st.text("ab \n\t\"\\'é中😀\u0301\u202e\u2028", max_size=2_000),
    times=good_times | good_times.map(str),
    counts=good_counts,
    values=json_of(
        good_texts, st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    ),
)

any_text = st.text() | st.text(
    st.characters(codec=None, categories=["Cs", "Cc", "Cf", "Mn", "So"]), max_size=20
)
any_number = st.integers(-(2**63) - 2, 2**64) | st.floats()
any_value = json_of(any_text, any_number)
any_documents = st.one_of(
    documents(
        segments=st.none() | any_text,
        names=good_names | any_text,
        texts=any_text,
        times=any_number | any_text,
        counts=any_number,
        values=any_value,
    ),
    # Good ones, with one field of no use.
    st.builds(
        lambda document, field, value: {**document, field: value},
        good_documents,
        st.sampled_from(["name", "readme", "frozen_at", "annotations", "tags", "manifest", "size_in_bytes"]),
        any_value,
    ),
)

PROPERTY = examples(100)


def with_parts(parts: dict[str, Any]) -> dict[str, Any]:
    """Return a dataset's document made of the parts that a strategy drew."""
    info = dataset_info(**{key: value for key, value in parts.items() if key != "segment"})
    if parts["segment"] is not None:
        info["uri"] = f"{RED}/{parts['segment']}"
    for optional in {"created_at", "number_of_items", "size_in_bytes"} - parts.keys():
        del info[optional]
    return info


def put(target: World, info: dict[str, Any]) -> TestResponse:
    path = f"/uris/{quote(info['uri'].encode('utf-8', 'replace'), safe='')}"
    return shoot(target, "PUT", path, info, json=info)


@PROPERTY
@given(parts=good_documents)
def test_a_good_document_is_stored_as_it_is_and_found_and_removed_without_a_trace(
    target: World, parts: dict[str, Any]
) -> None:
    before = target.contents()
    info = with_parts(parts)
    answer = put(target, info)
    assert answer.status_code == 201, answer.text
    check_described(target, info)
    check_found(target, info)
    assert disagreements(target.database) == []
    assert target.send("DELETE", f"/uris/{quote(info['uri'], safe='')}", ROOT).status_code == 200
    after = target.contents()
    assert after | {"audit": before["audit"]} == before  # that it was there once is on record


@PROPERTY
@given(parts=any_documents)
def test_any_other_document_is_refused_with_a_reason_or_stored_as_it_is(
    target: World, parts: dict[str, Any]
) -> None:
    info = with_parts(parts)
    answer = put(target, info)
    event(f"answered {answer.status_code}")
    if answer.status_code == 201:
        check_stored(target, info)
        assert disagreements(target.database) == []
        assert target.send("DELETE", f"/uris/{quote(info['uri'], safe='')}", ROOT).status_code == 200
    else:
        assert answer.status_code in (400, 404, 422), answer.text


def check_described(target: World, info: dict[str, Any]) -> None:
    """Check that everything which was put comes back as it was put."""
    check_stored(target, info)
    assert read_back(target, "manifests", info["uri"]) == info["manifest"]
    found = read_back(target, "uris", info["uri"])
    for key in ("uri", "base_uri", "uuid", "name", "creator_username"):
        assert found[key] == info[key]
    for key in ("number_of_items", "size_in_bytes"):
        assert found[key] == info.get(key)
    assert same_moment(found["frozen_at"], info["frozen_at"])
    assert same_moment(found["created_at"], info.get("created_at", info["frozen_at"]))


def same_moment(seconds: float, given_: Any) -> bool:
    return math.isclose(seconds, float(given_), rel_tol=1e-15, abs_tol=1e-6)


def check_found(target: World, info: dict[str, Any]) -> None:
    """Check that every way to ask for the dataset finds it."""
    queries: list[dict[str, Any]] = [
        {"uuids": [info["uuid"]]},
        {"free_text": info["uuid"]},
        {"creator_usernames": [info["creator_username"]]},
        {"uploaded_by": [ROOT], "base_uris": [RED]},
        {"tags": info["tags"]},
    ]
    for query in queries:
        answer = target.send("POST", "/uris?page_size=100", ROOT, json=query)
        assert answer.status_code == 200, answer.text
        assert info["uri"] in [dataset["uri"] for dataset in answer.json], query
    listed = target.send("GET", "/uris?page_size=100", ROOT).json
    assert info["uri"] in [dataset["uri"] for dataset in listed]


@PROPERTY
@given(text=st.text(max_size=60) | st.text('"-*() OR|_=^:ab\u0301é中', max_size=30))
def test_whatever_is_typed_into_the_search_box_is_answered(target: World, text: str) -> None:
    answer = target.send("POST", "/uris?sort=relevance", ROOT, json={"free_text": text})
    assert answer.status_code in (200, 422), (text, answer.text)


# -- Much of it ------------------------------------------------------------------------------------------------------


def test_sizes_that_add_up_to_more_than_64_bits(target: World) -> None:
    largest = 2**63 - 1
    before = target.send("GET", "/me/summary", ROOT).json["total_size_in_bytes"]
    infos = [dataset_info(size_in_bytes=largest, number_of_items=largest, tags=["huge"]) for _ in range(3)]
    for info in infos:
        assert target.send("PUT", f"/uris/{info['uri']}", ROOT, json=info).status_code == 201
    summary = target.send("GET", "/me/summary", ROOT).json
    assert summary["total_size_in_bytes"] == before + 3 * largest
    assert summary["size_in_bytes_per_tag"]["huge"] == 3 * largest
    found = target.send("POST", "/uris", ROOT, json={"tags": ["huge"]}).json
    assert [dataset["size_in_bytes"] for dataset in found] == [largest] * 3
    for info in infos:
        assert target.send("DELETE", f"/uris/{info['uri']}", ROOT).status_code == 200
    assert target.send("GET", "/me/summary", ROOT).json["total_size_in_bytes"] == before


def test_20_000_tags_and_annotations(target: World, info: dict[str, Any]) -> None:
    tags = [f"tag-{number}" for number in range(20_000)]
    annotations = {f"annotation-{number}": number for number in range(20_000)}
    many = {**info, "tags": tags, "annotations": annotations}
    assert shoot(target, "PUT", f"/uris/{info['uri']}", json=many).status_code == 200
    check_stored(target, many)
    assert shoot(target, "DELETE", f"/tags/{info['uri']}/tag-0").json == {"tags": tags[1:]}
    assert shoot(target, "PUT", f"/tags/{info['uri']}", json={"tags": tags[::-1]}).json == {
        "tags": tags[::-1]
    }
    found = shoot(target, "POST", "/uris", json={"tags": ["tag-0", "tag-19999"]}).json
    assert [dataset["uri"] for dataset in found] == [info["uri"]]
    assert disagreements(target.database) == []


@pytest.mark.parametrize(("number", "status"), [(10_000, 200), (10_001, 422), (100_000, 422)])
def test_queries_with_many_values(target: World, number: int, status: int) -> None:
    names = [f"name-{n}" for n in range(number)]
    for field in ("creator_usernames", "base_uris", "tags", "uploaded_by"):
        assert shoot(target, "POST", "/uris", field, json={field: names}).status_code == status
    uuids = [str(uuid.UUID(int=n)) for n in range(min(number, 10_001))]
    assert shoot(target, "POST", "/uris", json={"uuids": uuids}).status_code == status


def test_permissions_for_40_000_users_that_do_not_exist(target: World) -> None:
    body = {"users_with_search_permissions": [f"user-{number}" for number in range(40_000)]}
    answer = shoot(target, "PUT", f"/base-uris/{BLUE}", json=body)
    assert answer.status_code == 422
    assert len(answer.data) < 5_000


@pytest.mark.timeout(60)
def test_a_manifest_of_200_000_items(target: World, info: dict[str, Any]) -> None:
    items_ = {
        f"{number:040x}": {
            "hash": f"{number:032x}",
            "relpath": f"plot{number % 100}/leaf_{number}.csv",
            "size_in_bytes": number,
            "utc_timestamp": 1536832115.0 + number,
        }
        for number in range(200_000)
    }
    large = {**info, "manifest": {**info["manifest"], "items": items_}}
    assert shoot(target, "PUT", f"/uris/{info['uri']}", json=large).status_code == 200
    assert read_back(target, "manifests", info["uri"]) == large["manifest"]
    found = shoot(target, "POST", "/uris", json={"free_text": "leaf_199999.csv"}).json
    assert [dataset["uri"] for dataset in found] == [info["uri"]]
    broken = {**large, "manifest": {**large["manifest"], "items": {**items_, "x": {"size_in_bytes": -1}}}}
    assert shoot(target, "PUT", f"/uris/{info['uri']}", json=broken).status_code == 422


def test_uris_of_1024_and_1025_characters(target: World) -> None:
    for length, status in ((1024, 201), (1025, 422)):
        info = dataset_info(uri=f"{RED}/".ljust(length, "x"))
        assert shoot(target, "PUT", f"/uris/{info['uri']}", json=info).status_code == status
        assert shoot(target, "DELETE", f"/uris/{info['uri']}").status_code == 200


@pytest.mark.parametrize(
    ("base_uri", "segment"),
    [
        (RED, "x?query"),
        (RED, "x#fragment"),
        (RED, "."),
        (RED, ".."),
        (RED, ""),
        (RED, "a/b"),
        (RED, "a\tb"),
        (f"{RED}/..", "blue"),
        (f"{RED}?q", "x"),
        ("s3://root@red", "x"),
        ("s3://[::1]", "x"),
        ("s3://[::1", "x"),
        ("s3://", "x"),
        ("red", "x"),
        ("/red", "x"),
        ("", "x"),
    ],
)
def test_uris_that_are_more_or_less_than_a_place_and_a_name(
    target: World, base_uri: str, segment: str
) -> None:
    info = dataset_info(base_uri, uri=f"{base_uri}/{segment}")
    answer = shoot(target, "PUT", f"/uris/{quote(info['uri'], safe='')}", json=info)
    assert answer.status_code in (400, 403, 404, 422)


@pytest.mark.parametrize("tag", ["a\n", "\na", "a b", "a,b", "é", "a\u200b", "", "x" * 81, "a/b", "tag!"])
def test_names_that_dtool_does_not_know(target: World, info: dict[str, Any], tag: str) -> None:
    for path, body in (
        (f"/tags/{info['uri']}", {"tags": ["fine", tag]}),
        (f"/annotations/{info['uri']}", {"annotations": {"fine": 1, tag: 2}}),
        (f"/uris/{info['uri']}", {**info, "tags": [tag]}),
        (f"/uris/{info['uri']}", {**info, "annotations": {tag: 1}}),
    ):
        assert shoot(target, "PUT", path, tag, json=body).status_code == 422


def test_composed_and_decomposed_letters_are_different_names_and_the_same_word(target: World) -> None:
    composed, decomposed = (dataset_info(uri=f"{RED}/{segment}") for segment in ("caf\u00e9", "cafe\u0301"))
    for info in (composed, decomposed):
        assert shoot(target, "PUT", f"/uris/{quote(info['uri'])}", json=info).status_code == 201
    for word in ("caf\u00e9", "cafe\u0301", "CAFE"):
        found = shoot(target, "POST", "/uris", json={"free_text": word}).json
        assert {dataset["uri"] for dataset in found} == {composed["uri"], decomposed["uri"]}
    for info in (composed, decomposed):
        assert shoot(target, "DELETE", f"/uris/{quote(info['uri'])}").status_code == 200


def test_a_body_that_is_too_large(tmp_path: Path, key_pair: tuple[Path, Path]) -> None:
    with world(tmp_path, key_pair, MAX_CONTENT_LENGTH=10_000) as small:
        before = small.contents()
        info = dataset_info(readme="x" * 10_000)
        answer = small.send("PUT", f"/uris/{info['uri']}", json=info)
        assert answer.status_code == 413
        assert answer.json["code"] == 413
        assert small.contents() == before


# -- Headers ---------------------------------------------------------------------------------------------------------

HEADERS = {
    "Authorization": [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer ..",
        "Bearer x y",
        "bearer x",
        "Basic eDp5",
        "é",
    ],
    "X-Request-ID": [
        "",
        " ",
        "a" * 129,
        "a b",
        "é",
        "\x1b[31m",
        "a\tb",
        "x;y",
        "../x",
        "%0d%0aX-Injected: 1",
    ],
    "Origin": ["null", "*", "", "http://evil\tX", "é", "x" * 5_000, "http://[::1", "http://a, http://b"],
    "Access-Control-Request-Headers": ["*", "é", "a" * 5_000, ",,,"],
    "Accept": ["", "*", "text/html", "q=q", "é", "*/*;q=1e400", "application/json;q=-1"],
    "Accept-Encoding": ["gzip;q=x", "é", "*;q=0"],
    "Content-Encoding": ["gzip", "br", "x"],
    "Host": ["", "a b", "[::1", "evil.example:99999999", "é", "..", "a" * 5_000],
    "Range": ["bytes=5-1", "bytes=x", "lines=1-"],
    "If-None-Match": ["*", '"', 'W/"'],
    "If-Modified-Since": ["yesterday", "Thu, 01 Jan 99999 00:00:00 GMT"],
    "Cookie": ["session=nonsense", "=", ";;;", "\xff"],
    "X-Forwarded-For": ["nonsense", "1.2.3.4, 5.6.7.8"],
    "X-HTTP-Method-Override": ["DELETE"],
    "Expect": ["200-ok"],
}


@pytest.mark.parametrize("header", HEADERS)
def test_odd_headers(target: World, info: dict[str, Any], header: str) -> None:
    for value in HEADERS[header]:
        for method, path in (
            ("GET", "/me"),
            ("PUT", f"/readmes/{info['uri']}"),
            ("OPTIONS", "/uris"),
            ("GET", "/x"),
        ):
            answer = shoot(target, method, path, value, headers={header: value}, json={"readme": "x"})
            assert "X-Injected" not in answer.headers
            assert answer.headers["X-Request-ID"].isprintable()
            assert " " not in answer.headers["X-Request-ID"]
