"""What the benchmarks ask: for each operation many different requests, made from one seed."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from benchmarks.workload import BASE_URIS, COMMON, CREATORS, RARE, TAGS, USERNAME, Workload

PAGE_SIZE = 10  # what clients get who do not say
DIFFERENT = 40  # requests of each operation, where there are so many
ANY = -1  # in place of the number of a dataset: any answer is right that has something


@dataclass(frozen=True)
class Request:
    """One request; ``body`` is sent as JSON, and the answer must be or hold the dataset of number ``about``.

    Where that is ``ANY``, the answer must hold something.
    """

    method: str
    path: str
    body: Any = None
    about: int | None = None

    @property
    def payload(self) -> str:
        """The body as it is sent."""
        return "" if self.body is None else json.dumps(self.body)


@dataclass(frozen=True)
class Operation:
    """One thing to measure.

    :ivar requests: sent in turn, over and over
    :ivar target_10k: how many times as fast as the original we must be, at 10,000 datasets
    :ivar target_100k: the same at 100,000 datasets and more
    """

    name: str
    requests: list[Request]
    target_10k: float
    target_100k: float

    def target(self, size: int) -> float:
        """Return how many times as fast as the original we must be."""
        return self.target_100k if size >= 100_000 else self.target_10k


def operations(workload: Workload) -> list[Operation]:
    """Return what is read, in the order in which it is measured."""
    chance = random.Random(f"{workload.seed}/questions")
    some = _numbers(chance, 0, workload.size)
    late = _numbers(chance, workload.size * 19 // 20, workload.size)
    pages = -(-workload.size // PAGE_SIZE)
    deep = _numbers(chance, pages * 17 // 20, pages * 19 // 20)

    def of(route: str, numbers: list[int]) -> list[Request]:
        paths = [f"/{route}/{quote(workload.uri(number), safe='')}" for number in numbers]
        return [Request("GET", path, about=number) for path, number in zip(paths, numbers, strict=True)]

    uuids = [Request("GET", f"/uuids/{workload.uuid(number)}", about=number) for number in some]
    common = [_search(page, free_text=word) for word in COMMON for page in (1, 2)]
    rare = [_search(free_text=workload.rare_word(number), about=number) for number in some]
    return [
        Operation("GET /uuids/<uuid>", uuids, 4, 4),
        Operation("GET /uris/<uri>", of("uris", some), 3.5, 3.5),
        Operation("GET /readmes/<uri>, late", of("readmes", late), 5, 60),
        Operation("GET /manifests/<uri>, late", of("manifests", late), 5, 60),
        Operation("GET /uris, first page", [Request("GET", "/uris")], 25, 200),
        Operation("GET /uris, deep page", [Request("GET", f"/uris?page={n + 1}") for n in deep], 20, 150),
        Operation("GET /users/<u>/summary", [Request("GET", f"/users/{USERNAME}/summary")], 80, 800),
        Operation("search, word in 1/8", common, 8, 30),
        Operation("search, 2 words, 2 tags, 2 creators", _narrow_searches(workload, chance), 10, 100),
        Operation("search, rare word", rare, 4, 5),
    ]


def few_base_uris(workload: Workload) -> Operation:
    """Return the search for a common word in 5 of 20 base URIs."""
    chance = random.Random(f"{workload.seed}/base URIs")
    requests = [
        _search(free_text=word, base_uris=chance.sample(BASE_URIS, 5)) for word in COMMON for _ in range(2)
    ]
    return Operation("search, word in 1/8, 5 of 20 base URIs", requests, 0, 0)


def facets(workload: Workload) -> list[Operation]:
    """Return the counting of what datasets have in common that a search finds."""
    chance = random.Random(f"{workload.seed}/facets")

    def of(**query: Any) -> Request:
        return Request("POST", "/uris/facets", query)

    some = [of(free_text=word, tags=[chance.choice(TAGS)]) for word in COMMON]
    return [
        Operation("facets, everything", [of()], 0, 0),
        Operation("facets, word in 1/8", [of(free_text=word) for word in COMMON], 0, 0),
        Operation("facets, word in 1/8 and a tag", some, 0, 0),
    ]


def finding(workload: Workload) -> list[Operation]:
    """Return searches by relevance, some of them with what is not in any dataset, and the completion of words."""
    chance = random.Random(f"{workload.seed}/finding")
    numbers = _numbers(chance, 0, workload.size)
    pairs = [(workload.some_word(number), chance.choice(COMMON)) for number in numbers]

    def of(texts: list[str]) -> list[Request]:
        return [Request("POST", "/uris?sort=relevance", {"free_text": text}, ANY) for text in texts]

    beginnings = {word[:3] for word, _ in pairs}
    return [
        Operation("relevance, word in 1/8", of(COMMON), 0, 0),
        Operation("relevance, 2 words", of([f"{word} {other}" for word, other in pairs]), 0, 0),
        Operation("relevance, mistyped", of([f"{_mistyped(word)} {other}" for word, other in pairs]), 0, 0),
        Operation(
            "relevance, a word too many", of([f"{word} {other} nowhereatall" for word, other in pairs]), 0, 0
        ),
        Operation(
            "suggestions",
            [Request("GET", f"/suggest?q={each}", about=ANY) for each in sorted(beginnings)],
            0,
            0,
        ),
    ]


def _mistyped(word: str) -> str:
    """Return a word with two of its letters swapped."""
    return word[:2] + word[3] + word[2] + word[4:]


def put(document: dict[str, Any]) -> Request:
    """Return the request that registers a document; its times are text, as the original wants them."""
    times = {name: str(document[name]) for name in ("frozen_at", "created_at")}
    return Request("PUT", f"/uris/{quote(document['uri'], safe='')}", {**document, **times})


def _numbers(chance: random.Random, start: int, stop: int) -> list[int]:
    return chance.sample(range(start, stop), min(DIFFERENT, stop - start))


def _search(page: int = 1, about: int | None = None, **query: Any) -> Request:
    return Request("POST", f"/uris?page={page}", query, about)


def _narrow_searches(workload: Workload, chance: random.Random) -> list[Request]:
    """Return searches that find at least the dataset from which each of them is made."""
    searches: list[Request] = []
    while len(searches) < min(DIFFERENT, max(1, workload.size // (4 * RARE))):
        number = chance.randrange(workload.size)
        document = workload.document(number)
        words = [word for word in COMMON if f" {word} " in document["readme"]]
        if len(words) < 2 or len(document["tags"]) < 2:
            continue
        other = chance.choice([name for name in CREATORS if name != document["creator_username"]])
        searches.append(
            _search(
                about=number,
                free_text=" ".join(chance.sample(words, 2)),
                tags=chance.sample(document["tags"], 2),
                creator_usernames=[document["creator_username"], other],
            )
        )
    return searches
