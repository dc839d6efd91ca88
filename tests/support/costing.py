"""What single requests cost a server: run as a program, it sends each of many and tells of memory, time and locks.

In a process of its own, because the room that a process has taken once says nothing about the next request.
"""

from __future__ import annotations

import gc
import json
import re
import sys
import time
import unicodedata
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from flask_jwt_extended import create_access_token
from sqlalchemy import event

from dservercore import create_app, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration, users
from dservercore.catalog.scope import OPERATOR
from support.world import ADMIN, CHAMPION, NOBODY, RED, dataset_info

JSON, LINES, FORM = "application/json", "application/x-ndjson", "application/x-www-form-urlencoded"
INFO = dataset_info(uuid="11111111-1111-1111-1111-111111111111")
URI = INFO["uri"]
LIGATURE = "\ufdfa"  # eighteen characters when it is normalised
ASTRAL = "\U0001f600"  # with it, each character of a text takes four bytes


@dataclass
class Request:
    """A request that costs much, of those that a route does not refuse at first sight."""

    name: str
    route: str
    body: bytes
    path: str
    user: str = CHAMPION
    content_type: str = JSON
    expected: tuple[int, ...] = (200, 201)


@dataclass
class Cost:
    """What a request has cost: megabytes beyond those before it, and seconds of processor, also with the lock held.

    The seconds are those of a processor that does the work of :func:`reference` in REFERENCE_SECONDS.
    """

    name: str
    status: int
    answer: str
    megabytes: float
    seconds: float
    locked_seconds: float


def words(length: int, letters: int = 4) -> str:
    """Text of words most of which stand there once: the most work there is for an index."""
    chance = Random(length)
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return " ".join("".join(chance.choices(alphabet, k=letters)) for _ in range(length // (letters + 1) + 1))[
        :length
    ]


def nothing_but_zeros(elements: int, depth: int) -> bytes:
    """What cannot be stored, beside many elements far down."""
    return b'{"free_text": "\\u0000", "tags": ' + b"[" * depth + b"0," * elements + b"0" + b"]" * depth + b"}"


def manifest(items: int, name: str) -> dict[str, Any]:
    return {
        "dtoolcore_version": "3",
        "hash_function": "md5sum_hexdigest",
        "items": {
            f"{n:040x}": {
                "hash": f"{n:032x}",
                "relpath": f"{n}/{name}",
                "size_in_bytes": n,
                "utc_timestamp": 1.5,
            }
            for n in range(items)
        },
    }


def encoded(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def requests_of(config: dict[str, Any]) -> Iterator[Request]:
    """Yield the worst requests of every route that reads a body, by what the configuration allows."""
    readme, annotations = config["DSERVER_MAX_README_LENGTH"], config["DSERVER_MAX_ANNOTATIONS_LENGTH"]
    tags = [f"tag-{n}" for n in range(config["DSERVER_MAX_TAGS"])]
    deep = nothing_but_zeros(4000, 900)
    for route, path, user in (
        ("PATCH /me", "/me", NOBODY),
        ("PUT /users/<username>", "/users/x", ADMIN),
        ("PATCH /users/<username>", f"/users/{CHAMPION}", ADMIN),
    ):
        yield Request("zeros", route, deep, path, user, expected=(422,))
        yield Request("name", route, encoded({"display_name": LIGATURE * 255}), path, user)
    for name, password in (("longest password", "p" * 1024), ("long password", LIGATURE * 5000)):
        sign_in = encoded({"username": CHAMPION, "password": password})
        yield Request(name, "POST /auth/token", sign_in, "/auth/token", expected=(401,))
    for new in ("4@8({[<369!1|/0$5+7%2" * 40, LIGATURE * 341):
        yield Request(new[:9], "PUT /me/password", encoded({"new": new}), "/me/password", expected=(200, 422))
    form = b"code=x&" + b"&".join(b"password=%d" % n for n in range(4000))
    of_one = ["/admin/users/<username>", "/admin/groups/<group>", "/admin/base-uris/<base_uri:base_uri>"]
    forms = [
        "/sign-in",
        "/sign-in/link",
        "/sign-out",
        "/admin/users",
        "/admin/groups",
        "/admin/base-uris",
        *of_one,
    ]
    forms += [f"/account/{path}" for path in ("name", "password", "tokens", "dtool.json")]
    forms += ["/account/tokens/<int:token_id>/end", "/account/sessions/<int:session_id>/end"]
    forms += ["/searches", "/searches/<int:search_id>/name", "/searches/<int:search_id>/delete"]
    for route in forms:
        path = re.sub("<[^>]+>", "1", route)
        yield Request("form", f"POST {route}", form, path, content_type=FORM, expected=(303, 400, 413))
    # Of whoever has not signed in with a browser, nothing is read. What else they cost is tests/web's.
    edits = [f"/edit/{route}/<uri:uri>" for route in ("tags", "annotations", "readme")]
    for route in (*edits, "/edit/check-readme", "/delete/<uri:uri>"):
        path = route.replace("<uri:uri>", URI)
        yield Request("form", f"POST {route}", form, path, content_type=FORM, expected=(303, 413))
    for route, path, user in (
        ("POST /me/tokens", "/me/tokens", CHAMPION),
        ("POST /users/<username>/tokens", f"/users/{ADMIN}/tokens", ADMIN),
    ):
        longest = {"name": "x" * 80, "base_uris": [f"s3://{n:04}{'x' * 50}" for n in range(1000)]}
        yield Request("zeros", route, deep, path, user, expected=(422,))
        yield Request("base URIs", route, encoded(longest), path, user, expected=(422,))
        yield Request("name", route, encoded({"name": LIGATURE * 20_000}), path, user, expected=(422,))
    for route, path in (
        ("POST /me/searches", "/me/searches"),
        ("PATCH /me/searches/<int:search_id>", "/me/searches/1"),
    ):
        query = "&".join(f"{n:05}=x" for n in range(20_000))
        yield Request("zeros", route, deep, path, expected=(422,))
        yield Request("name", route, encoded({"name": LIGATURE * 20_000}), path, expected=(404, 422))
        yield Request("query", route, encoded({"name": "x", "query": query}), path, expected=(413,))
        yield Request(
            "long query", route, encoded({"name": "x", "query": query[:6000]}), path, expected=(422,)
        )
    people = {"users_with_search_permissions": [f"user-{n}" for n in range(20_000)]}
    for method in ("PUT", "POST"):
        route, path = f"{method} /base-uris/<base_uri:base_uri>", f"/base-uris/s3://{method.lower()}"
        yield Request("users", route, encoded(people), path, ADMIN, expected=(422,))
    for path in ("/uris", "/uris/facets"):
        yield Request("zeros", f"POST {path}", deep, path, NOBODY, expected=(422,))
    values = [f"{n:04}{'x' * 1020}" for n in range(1000)]
    more = [f"{n:04}{'x' * 190}" for n in range(10_000)]
    for filter_ in ("tags", "creator_usernames", "base_uris", "uploaded_by"):
        for path in ("/uris", "/uris/facets"):
            yield Request(filter_, f"POST {path}", encoded({filter_: values}), path)
            yield Request(f"more {filter_}", f"POST {path}", encoded({filter_: more}), path)
    text = {"free_text": LIGATURE * config["DSERVER_MAX_QUERY_LENGTH"]}
    for path in ("/uris", "/uris/facets"):
        yield Request("text", f"POST {path}", encoded(text), path, expected=(200, 422))
    alternatives = {"any": [{"file": f"*{n}_R1.fastq.gz"} for n in range(50)]}
    deep_down: dict[str, Any] = {"text": "a b*"}
    for _ in range(9):
        deep_down = {"any": [deep_down, {"size": {"gt": 1}}]}
    groups = {"any": [{"size": 1}] * 4000}
    for name, conditions, expected in (
        ("conditions", {"any": [{"size": {"gt": n}} for n in range(200)]}, (200,)),
        ("annotations", {"annotations": {f"a{n}": {"exists": False} for n in range(200)}}, (200,)),
        ("file names", alternatives, (200,)),
        ("nested conditions", {"not": deep_down}, (200,)),
        ("too many conditions", groups, (422,)),
        ("conditions of no kind", {"any": [{f"k{n}": 1} for n in range(5000)]}, (422,)),
        ("ligatures in a condition", {"any": [{"text": LIGATURE * 1024}] * 200}, (422,)),
    ):
        for where in ("/uris", "/uris/facets", "/uris.csv", "/uris.ndjson"):
            yield Request(name, f"POST {where}", encoded(conditions), where, expected=expected)
    register, path = "PUT /uris/<uri:uri>", f"/uris/{URI}"
    largest = {"readme": words(readme), "annotations": {"a": words(annotations - 10, 6)}, "tags": tags}
    for name, changes, expected in (
        ("largest", largest, (200,)),
        ("again", largest, (200,)),
        ("ideographs", {"readme": "".join(chr(0x4E00 + n % 20_000) for n in range(readme))}, (200,)),
        ("ligatures", {"readme": LIGATURE * readme}, (422,)),
        ("files", {"manifest": manifest(50_000, "sample.fastq.gz")}, (200,)),
        ("ligatures in a name", {"manifest": manifest(10, LIGATURE * 4000)}, (422,)),
        ("long names", {"manifest": manifest(1000, words(4000))}, (200,)),
        ("tags of no kind", {"tags": [0] * 100_000}, (422,)),
        ("small", {}, (200,)),
    ):
        yield Request(name, register, encoded({**INFO, **changes}), path, expected=expected)
    unknown = encoded({f"k{n}": 0 for n in range(100_000)})
    yield Request("unknown members", register, unknown, path, expected=(422,))
    items = b'{"manifest": {"items": {' + b",".join(b'"%040x":{}' % n for n in range(300_000)) + b"}}}"
    yield Request("items of nothing", register, items, path, expected=(422, 400))
    yield Request("README", "PUT /readmes/<uri:uri>", encoded({"readme": words(readme)}), f"/readmes/{URI}")
    one = encoded({"readme": LIGATURE * readme})
    yield Request("ligatures", "PUT /readmes/<uri:uri>", one, f"/readmes/{URI}", expected=(422,))
    everything = encoded({"annotations": {"a": words(annotations - 10)}})
    numbers = encoded({"annotations": {"a": [[] for _ in range(49_000)]}})
    many, single = "PUT /annotations/<uri:uri>", "PUT /annotations/<uri:uri>/<name>"
    yield Request("words", many, everything, f"/annotations/{URI}")
    yield Request("lists", many, numbers, f"/annotations/{URI}")
    value = encoded({"value": words(annotations // 2).split()[: annotations // 16]})
    yield Request("words", single, value, f"/annotations/{URI}/b")
    yield Request("tags", "PUT /tags/<uri:uri>", encoded({"tags": tags}), f"/tags/{URI}")
    bulk = "POST /uris/bulk"
    yield Request("nothing in lines", bulk, b"{}\n" * 100_000, "/uris/bulk", content_type=LINES)
    yield Request("no JSON in lines", bulk, b"{\n" * 100_000, "/uris/bulk", content_type=LINES)
    empty = b"[" + b"{}," * 2_800_000 + b"{}]"
    yield Request("nothing in a list", bulk, empty, "/uris/bulk", expected=(422,))
    wide = b"[[" + b"[]," * 2_800_000 + b"[]]]"
    yield Request("one element of many", bulk, wide, "/uris/bulk", expected=(422,))
    long_text = b'"readme":"' + ASTRAL.encode() + b"a" * 100 * 2**20 + b'"}'
    escapes = b'"readme":"' + ASTRAL.encode() + b'aa\\"' * 25 * 2**20 + b'"}'
    for name, text in (("long text", long_text), ("long text with quotes", escapes)):
        yield Request(name, register, b"{" + text, path, expected=(422,))
        yield Request(f"{name} in a list", bulk, b"[{" + text + b"]", "/uris/bulk", expected=(422,))
        in_a_line = b"{" + text + b"\n"
        yield Request(f"{name} in a line", bulk, in_a_line, "/uris/bulk", content_type=LINES)
    padded = b"[" + ((b"[]," + b" " * 46) * 10_000 + b'"",') * 100 + b"[]]"
    yield Request("padded elements", register, padded, path, expected=(422,))
    few = [dataset_info(readme=words(100_000 + n)) for n in range(30)]
    yield Request("READMEs in a list", bulk, encoded(few), "/uris/bulk")
    many = [dataset_info(readme=words(20_000 + n), tags=tags[:200]) for n in range(60)]
    yield Request("many in a list", bulk, encoded(many), "/uris/bulk")
    yield from uploads_of(config)
    details = "/uris?page_size=100&include=description,tags,matches&group=uuid"
    text = {"free_text": "a* OR b* OR c* OR d* OR e* OR f* OR g* OR h* OR tag"}
    graph, path = "POST /graph/uuids/<uuid>", f"/graph/uuids/{INFO['uuid']}"
    yield Request("zeros", graph, nothing_but_zeros(4000, 1), path, expected=(422,))
    yield Request("keys", graph, encoded({"dependency_keys": words(30_000).split()}), path, expected=(422,))
    yield Request("dots", graph, encoded({"dependency_keys": ["." * 60_000]}), path, expected=(422,))
    for route in ("POST /webhook/notify", "POST /webhook/notify/<path:path>"):
        path = route.split()[1].replace("<path:path>", "a/b")
        records = [
            {
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": "red"}, "object": {"key": f"{uuid.uuid4()}/dtool"}},
            }
            for _ in range(250)
        ]
        yield Request("records", route, encoded({"Records": records}), path)
        yield Request("zeros", route, deep, path, expected=(422,))
        yield Request(
            "empty records", route, b'{"Records": [' + b"{}," * 12_000 + b"{}]}", path, expected=(422,)
        )
    yield Request("details", "POST /uris", encoded(text), f"{details}&sort=relevance")
    yield Request("details of all", "POST /uris", b"{}", details)
    yield from structured_queries()


def structured_queries() -> Iterator[Request]:
    """Yield the worst structured queries."""
    query, aggregate = "/mongo/query", "/mongo/aggregate"
    for path in (query, aggregate):
        yield Request("zeros", f"POST {path}", nothing_but_zeros(9000, 50), path, expected=(422, 404))
        wide = {"query": {"$or": [{f"annotations.{n}": {"$in": list(range(40))}} for n in range(90)]}}
        yield Request("wide", f"POST {path}", encoded(wide), path, expected=(200, 422, 404, 503))
        expression = {"query": {"readme": {"$not": {"$regex": "(([a-z]+ ?)+x){1,20}$"}}}}
        yield Request("expression", f"POST {path}", encoded(expression), path, expected=(200, 422, 404, 503))
    unwound = [{"$set": {"x": [*range(10)]}}, {"$unwind": "$x"}] * 4
    pushed = {"aggregation": [*unwound, {"$group": {"_id": None, "all": {"$push": "$$ROOT"}}}]}
    yield Request("pushed", f"POST {aggregate}", encoded(pushed), aggregate, expected=(200, 422, 404, 503))


def uploads_of(config: dict[str, Any]) -> Iterator[Request]:
    """Yield the worst requests that begin and end an upload."""
    begin, complete = "POST /signed-urls/upload/<base_uri:base_uri>", "POST /signed-urls/upload-complete"
    path, most = f"/signed-urls/upload/{uploads_to(config)}", config["SIGNED_URL_MAX_UPLOAD_ITEMS"]
    announced = {"name": "peas", "creator_username": "olga", "frozen_at": 1.5}
    item = {"size_in_bytes": 1, "hash": "0" * 32, "utc_timestamp": 1.5}
    items = [{"relpath": f"sample-{n:06}/reads_R1.fastq.gz", **item} for n in range(most)]
    long = [{"relpath": f"{n:06}/{'x' * 250}/{'y' * 140}", **item} for n in range(most)]
    deep = [{"relpath": f"{n % 490:04}{'/x' * 99}{n}", **item} for n in range(most)]
    wide = [{"relpath": f"{n}/{'x/' * 98}x", **item} for n in range(most)]
    for name, changes, expected in (
        ("items", {"items": items}, (200,)),
        ("long paths", {"items": long}, (200,)),
        ("deep paths", {"items": deep}, (200,)),
        ("many directories", {"items": wide}, (422,)),
        ("items of nothing", {"items": [{}] * most}, (422,)),
        ("too many items", {"items": items + items}, (413, 422)),
        ("empty overlays", {"overlays": {f"o{n}": {} for n in range(100_000)}}, (422,)),
        ("ligatures", {"items": [{"relpath": f"{n}{LIGATURE * 80}", **item} for n in range(1000)]}, (422,)),
    ):
        number = sum(name.encode())
        body = encoded({**announced, "uuid": f"22222222-2222-2222-2222-{number:012}", **changes})
        yield Request(name, begin, body, path, expected=expected)
    zeros = nothing_but_zeros(900, 50)
    yield Request("zeros", complete, zeros, "/signed-urls/upload-complete", expected=(422,))
    uri = f"{uploads_to(config)}/22222222-2222-2222-2222-{sum(b'items'):012}"
    yield Request(
        "nothing uploaded", complete, encoded({"uri": uri}), "/signed-urls/upload-complete", expected=(400,)
    )


def uploads_to(config: dict[str, Any]) -> str:
    """Return the base URI that files can be uploaded to: a directory beside the database."""
    return f"file://{Path(config['SQLALCHEMY_DATABASE_URI'].removeprefix('sqlite:///')).parent}/uploads"


#: What the work of :func:`reference` takes on a core of 2020 or later of which nobody else has a share.
REFERENCE_SECONDS = 0.012
#: A request that takes longer, in seconds, or holds the lock for longer, is sent again: what others on the machine add
#: differs from time to time.
REPEATED_SECONDS, REPEATED_LOCKED_SECONDS = 1.0, 0.5
TRIES = 3

_TEXT = words(200_000)


def reference() -> float:
    """Return the processor's seconds for some work that is always the same, and of the kind that requests make."""
    started = time.process_time()
    counted: dict[str, int] = {}
    for word in unicodedata.normalize("NFKD", json.loads(json.dumps({"text": _TEXT}))["text"]).split():
        counted[word] = counted.get(word, 0) + 1
    sorted(counted)
    return time.process_time() - started


def slowness() -> float:
    """Return how many times as long as it should this processor takes at the moment; 1.0 if it is as fast or faster."""
    return max(1.0, min(reference() for _ in range(3)) / REFERENCE_SECONDS)


def memory(name: str) -> float:
    """Return an entry of the process's status in megabytes: VmRSS, what it has, or VmHWM, the most it had."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


class Locks:
    """Notes for how long the processor works while other writers wait."""

    def __init__(self) -> None:
        self.longest = self._since = 0.0
        event.listen(sql_db.engine, "after_cursor_execute", self._executed)
        event.listen(sql_db.session, "after_commit", self._ended)
        event.listen(sql_db.session, "after_rollback", self._ended)

    def _executed(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement == "BEGIN IMMEDIATE":
            self._since = time.process_time()

    def _ended(self, _session: Any) -> None:
        if self._since:
            self.longest = max(self.longest, time.process_time() - self._since)
        self._since = 0.0


def cost_of(client: Any, request: Request, token: str, locks: Locks) -> Cost:
    """Send a request, and return what it has cost: the most memory, and the least time, of several tries."""
    cost = one_cost_of(client, request, token, locks)
    for _ in range(TRIES - 1):
        if cost.seconds > REPEATED_SECONDS or cost.locked_seconds > REPEATED_LOCKED_SECONDS:
            again = one_cost_of(client, request, token, locks)
            cost.megabytes = max(cost.megabytes, again.megabytes)
            cost.seconds = min(cost.seconds, again.seconds)
            cost.locked_seconds = min(cost.locked_seconds, again.locked_seconds)
    return cost


def one_cost_of(client: Any, request: Request, token: str, locks: Locks) -> Cost:
    """Send a request once, and return what it has cost."""
    method = request.route.split()[0]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": request.content_type}
    slow = slowness()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the most starts anew from what there is
    before, locks.longest = memory("VmRSS"), 0.0
    started = time.process_time()
    answer = client.open(request.path, method=method, data=request.body, headers=headers)
    seconds = time.process_time() - started
    megabytes = memory("VmHWM") - before
    slow = max(slow, slowness())
    return Cost(
        f"{request.route}: {request.name}",
        answer.status_code,
        answer.text[:200],
        round(megabytes, 1),
        round(seconds / slow, 2),
        round(locks.longest / slow, 2),
    )


def main(config_file: str) -> None:
    """Print a line of JSON for each request."""
    app = create_app(json.loads(Path(config_file).read_text()))
    with app.app_context():
        sql_db.create_all()
        users.add_user(ADMIN, is_admin=True)
        for name in (CHAMPION, NOBODY):
            users.add_user(name)
        base_uris.create_base_uri(RED, [CHAMPION], [CHAMPION])
        Path(uploads_to(dict(app.config)).removeprefix("file://")).mkdir()
        base_uris.create_base_uri(uploads_to(dict(app.config)), [CHAMPION], [CHAMPION])
        registration.register_dataset(OPERATOR, operator_scope("register"), INFO)
        sql_db.session.commit()
        tokens = {name: create_access_token(name) for name in (ADMIN, CHAMPION, NOBODY)}
        locks = Locks()
    client = app.test_client()
    client.get("/me", headers={"Authorization": f"Bearer {tokens[CHAMPION]}"})
    for request in requests_of(dict(app.config)):
        cost = cost_of(client, request, tokens[request.user], locks)
        print(json.dumps({**asdict(cost), "route": request.route, "expected": request.expected}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
