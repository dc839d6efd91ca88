"""Search in descriptions of 607 real datasets, compared with a plain reading of the same texts.

The reader below knows nothing of the server's analyser, parser or index. It goes through every text of every dataset,
letter by letter, for every question.
"""

from __future__ import annotations

import importlib.util
import random
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import Stemmer

from dservercore.db import sql_db
from postgresql import new_schema

REPOSITORY = Path(__file__).parents[2]
CORPUS = REPOSITORY.parent / "shared" / "corpus" / "open-data-registry.jsonl.gz"
BASE_URIS = ["s3://open", "s3://open-data", "file:///mirror", "ecs://lab"]
CREATORS = ["Ana.Ruiz", "björn", "chen", "d.o'neill", "eve"]
UPLOADERS = ["rita", None, "carl"]

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"the corpus is not at {CORPUS}")


# -- The reader ------------------------------------------------------------------------------------------------------

_stemmer = Stemmer.Stemmer("english")


@cache
def stemmed(word: str) -> str:
    return _stemmer.stemWord(word) if re.fullmatch("[a-z]+", word) else word


def read(text: str) -> list[str]:
    """Return the words of a text."""
    words, word = [], ""
    text = re.sub(r"(?<=\w)['’][sS](?!\w)", "", text)
    for character in unicodedata.normalize("NFKD", text):
        kind, letters = look_at(character)
        if kind == "alone":
            words += [word, letters]
            word = ""
        elif kind == "letter":
            word += letters
        elif kind == "border":
            words.append(word)
            word = ""
    return [word[:64] for word in [*words, word] if word]


@cache
def look_at(character: str) -> tuple[str, str]:
    """Return what a character is in a text, and what remains of it."""
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return "nothing", ""
    if re.match("[\u3040-\u30ff\u4e00-\u9fff]", character):
        return "alone", character
    if character.isalnum():
        letter = character.casefold()
        return "letter", {"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "ı": "i"}.get(letter, letter)
    return "border", ""


@dataclass
class Dataset:
    """What there is to read of a dataset: for each text, the words as they are spelled."""

    uri: str
    info: dict[str, Any]
    spelled: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        info = self.info
        texts = [
            info["name"],
            info["readme"],
            *info["tags"],
            info["creator_username"],
            self.uri,
            info["uuid"],
        ]
        texts += [str(part) for pair in info["annotations"].items() for part in pair]
        texts += [item["relpath"] for item in info["manifest"]["items"].values()]
        self.spelled = [read(text) for text in texts]
        self.stemmed = [[stemmed(word) for word in words] for words in self.spelled]
        self.all_stemmed = {word for words in self.stemmed for word in words}
        self.all_words = self.all_stemmed.union(*self.spelled)


Test = Callable[[Dataset], bool]


def has(phrase: str) -> Test:
    """Passes a dataset with these words, in this order, in one of its texts."""
    wanted = [stemmed(word) for word in read(phrase)]

    def test(dataset: Dataset) -> bool:
        if not dataset.all_stemmed.issuperset(wanted):
            return False
        if len(wanted) == 1:
            return True
        return any(follows(wanted, words) for words in dataset.stemmed)

    return test


def follows(wanted: list[str], words: list[str]) -> bool:
    length = len(wanted)
    return any(
        words[n : n + length] == wanted for n in range(len(words) - length + 1) if words[n] == wanted[0]
    )


def starts(prefix: str) -> Test:
    """Passes a dataset with a word that begins so, as it is spelled or as it is stemmed."""
    return lambda d: any(word.startswith(prefix) for word in d.all_words)


def starts_after(phrase: str, prefix: str) -> Test:
    """Passes a dataset with these words followed by one whose stem begins so, or that is the same word."""
    wanted = [stemmed(word) for word in read(phrase)]

    def test(dataset: Dataset) -> bool:
        return any(
            words[n : n + len(wanted)] == wanted
            and n + len(wanted) < len(words)
            and (words[n + len(wanted)].startswith(prefix) or words[n + len(wanted)] == stemmed(prefix))
            for words in dataset.stemmed
            for n in range(len(words))
        )

    return test


def every(*tests: Test) -> Test:
    return lambda dataset: all(test(dataset) for test in tests)


def some(*tests: Test) -> Test:
    return lambda dataset: any(test(dataset) for test in tests)


def without(test: Test) -> Test:
    return lambda dataset: not test(dataset)


# -- The datasets ----------------------------------------------------------------------------------------------------


def load_known_item() -> ModuleType:
    spec = importlib.util.spec_from_file_location("known_item", REPOSITORY / "benchmarks" / "known_item.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["known_item"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def known_item() -> ModuleType:
    return load_known_item()


@pytest.fixture(scope="module")
def library(
    known_item: ModuleType,
    new_shelf: Callable[[Path], Iterator[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Any, list[Dataset]]]:
    """The descriptions as datasets, with files, annotations, creators and uploaders given out in turn."""
    for shelf in new_shelf(tmp_path_factory.mktemp("corpus")):
        datasets = []
        for n, description in enumerate(known_item.read_descriptions(CORPUS)):
            info = known_item.dataset_info(description)
            base_uri = BASE_URIS[n % len(BASE_URIS)]
            segment = description.slug if base_uri.startswith("file:") else info["uuid"]
            slug = description.slug
            shelf.register(
                info["name"],
                base_uri,
                uri=f"{base_uri}/{segment}",
                uuid=info["uuid"],
                readme=info["readme"],
                tags=info["tags"],
                creator_username=CREATORS[n % len(CREATORS)],
                uploaded_by=UPLOADERS[n % len(UPLOADERS)],
                annotations={
                    "row number": n,
                    "title words": len(description.title.split()),
                    "ripe": n % 2 == 0,
                },
                files=[f"raw/{slug}_R{n % 3}.fastq.gz", f"notes/{slug}.U{n:05d}.3.rev.1.bt2"],
            )
            datasets.append(
                Dataset(f"{base_uri}/{segment}", registered(shelf, f"{base_uri}/{segment}", info, n))
            )
        yield shelf, datasets


def registered(shelf: Any, uri: str, info: dict[str, Any], n: int) -> dict[str, Any]:
    """Return what was registered, as the retrieve plugin tells it."""
    return {
        "name": info["name"],
        "uuid": info["uuid"],
        "base_uri": BASE_URIS[n % len(BASE_URIS)],
        "creator_username": CREATORS[n % len(CREATORS)],
        "uploaded_by": UPLOADERS[n % len(UPLOADERS)],
        "readme": shelf.retrieve.get_readme(uri),
        "annotations": shelf.retrieve.get_annotations(uri),
        "tags": shelf.retrieve.get_tags(uri),
        "manifest": shelf.retrieve.get_manifest(uri),
    }


def search(shelf: Any, text: str | None, **filters: list[str]) -> list[str]:
    query: dict[str, Any] = {"base_uris": BASE_URIS, **filters}
    if text is not None:
        query["free_text"] = text
    return [dataset["uri"] for dataset in shelf.search.search(query)]


# -- The questions ---------------------------------------------------------------------------------------------------

QUESTIONS: dict[str, Test] = {
    # words
    "genome": has("genome"),
    "GENOMES": has("genome"),
    "satellite": has("satellite"),
    "the": has("the"),
    "of": has("of"),
    "2020": has("2020"),
    "Sentinel-2": has("sentinel 2"),
    "aws": has("aws"),
    "xyzzy": has("xyzzy"),
    "cancer": has("cancer"),
    "organization": has("organization"),
    "https": has("https"),
    # all of several words
    "ocean temperature": every(has("ocean"), has("temperature")),
    "whole genome sequencing cancer": every(has("whole"), has("genome"), has("sequencing"), has("cancer")),
    "radar weather nexrad": every(has("radar"), has("weather"), has("nexrad")),
    "climate xyzzy": has("xyzzy"),
    "brain imaging mri human": every(has("brain"), has("imaging"), has("mri"), has("human")),
    # phrases
    '"machine learning"': has("machine learning"),
    '"learning machine"': has("learning machine"),
    '"synthetic aperture radar"': has("synthetic aperture radar"),
    '"National Institutes of Health"': has("national institutes of health"),
    '"United States" climate': every(has("united states"), has("climate")),
    '"life sciences" "open data"': every(has("life sciences"), has("open data")),
    '"in the"': has("in the"),
    '"Amazon S3 bucket"': has("amazon s3 bucket"),
    # exclusion
    "climate -ocean": every(has("climate"), without(has("ocean"))),
    'imagery -"machine learning" -satellite': every(
        has("imagery"), without(has("machine learning")), without(has("satellite"))
    ),
    "-the": without(has("the")),
    "-aws -data": every(without(has("aws")), without(has("data"))),
    "genome -gen*": every(has("genome"), without(starts("gen"))),
    "satellite -xyzzy": has("satellite"),
    # alternatives
    "nexrad OR goes": some(has("nexrad"), has("goes")),
    "xyzzy OR radar": has("radar"),
    "ocean OR sea temperature OR salinity": every(
        some(has("ocean"), has("sea")), some(has("temperature"), has("salinity"))
    ),
    '"deep learning" OR "machine learning" -satellite': every(
        some(has("deep learning"), has("machine learning")), without(has("satellite"))
    ),
    "protein OR rna* genome OR cell": every(
        some(has("protein"), starts("rna")), some(has("genome"), has("cell"))
    ),
    "climate or ocean": every(has("climate"), has("or"), has("ocean")),
    "climate AND ocean": every(has("climate"), has("and"), has("ocean")),
    # prefixes
    "genom*": starts("genom"),
    "genomes*": starts("genomes"),
    "universit*": starts("universit"),
    "happ*": starts("happ"),
    "sequenci*": starts("sequenci"),
    "hydro* model*": every(starts("hydro"), starts("model")),
    "19*": starts("19"),
    "x*": starts("x"),
    "xyzz*": starts("xyzz"),
    # words of several parts
    "aws-pds": has("aws pds"),
    "arn:aws:s3:::1000genomes": has("arn aws s3 1000genomes"),
    "github.com/awslabs": has("github com awslabs"),
    "us-east-1": has("us east 1"),
    "us-east-*": has("us east"),
    "COVID-19": has("covid 19"),
    "1,019": has("1 019"),
    "10.1101/2024*": starts_after("10 1101", "2024"),
    "whole-genome": has("whole genome"),
    "whole-genom*": starts_after("whole", "genom"),
    "whole-genomes*": starts_after("whole", "genomes"),
    # file names
    "U00042.3.rev.1.bt2": has("u00042 3 rev 1 bt2"),
    "notes/1000-genomes.U00000.3.rev.1.bt2": has("notes 1000 genomes u00000 3 rev 1 bt2"),
    "U00096": has("u00096"),
    "U0001*": starts("u0001"),
    "U00042.3.re*": starts_after("u00042 3", "re"),
    "caendr_R1.fastq.gz": has("caendr r1 fastq gz"),
    "fastq.gz": has("fastq gz"),
    '"gz notes"': has("gz notes"),
    # annotations
    '"row number"': has("row number"),
    "42": has("42"),
    '"number 42"': has("number 42"),
    # people and places
    "Ana.Ruiz": has("ana ruiz"),
    "o'neill": has("o neill"),
    "Björn": has("bjorn"),
    "bjorn genome": every(has("bjorn"), has("genome")),
    "s3://open-data": has("s3 open data"),
    "file:///mirror/caendr": has("file mirror caendr"),
    # accents and other scripts
    "Müller": has("muller"),
    "Soylev": has("soylev"),
    "Söylev": has("soylev"),
    "université": has("universite"),
    "São Paulo": every(has("sao"), has("paulo")),
    "Alzheimer's": has("alzheimer"),
    "world’s": has("world"),
    # text that looks like an operator
    "(genome)": has("genome"),
    "title:genome": has("title genome"),
    '"genome': has("genome"),
    "--ocean": has("ocean"),
    "NEAR(ocean sea)": every(has("near ocean"), has("sea")),
    "^climate$ {data}": every(has("climate"), has("data")),
}


@pytest.mark.parametrize("text", QUESTIONS)
def test_finds_what_a_reader_finds(library: tuple[Any, list[Dataset]], text: str) -> None:
    shelf, datasets = library
    expected = sorted(dataset.uri for dataset in datasets if QUESTIONS[text](dataset))
    assert search(shelf, text) == expected


def test_the_questions_are_worth_asking(library: tuple[Any, list[Dataset]]) -> None:
    """Most are answered by some datasets and not by others."""
    _, datasets = library
    numbers = [sum(map(test, datasets)) for test in QUESTIONS.values()]
    assert len(numbers) >= 60
    assert sum(0 < number < len(datasets) for number in numbers) >= 60


FILTERS: list[tuple[str | None, dict[str, list[str]]]] = [
    (None, {"tags": ["life-sciences"]}),
    (None, {"tags": ["life-sciences", "genomic"]}),
    (None, {"tags": ["LIFE-SCIENCES"]}),
    (None, {"creator_usernames": ["björn"]}),
    (None, {"creator_usernames": ["bjorn"]}),
    (None, {"creator_usernames": ["chen", "eve"], "uploaded_by": ["rita"]}),
    (None, {"uploaded_by": ["rita", "carl"], "base_uris": ["s3://open"]}),
    (None, {"base_uris": ["s3://open", "ecs://lab"]}),
    ("genome", {"tags": ["life-sciences"]}),
    ("genome -cancer", {"tags": ["genomic"], "creator_usernames": ["chen", "eve", "nobody"]}),
    ('"machine learning"', {"base_uris": ["s3://open-data"]}),
    ('"machine learning"', {"base_uris": ["s3://open", "s3://open-data", "ecs://lab"]}),
    ("-data", {"base_uris": ["s3://open", "file:///mirror"]}),
    ("ocean OR sea", {"uploaded_by": ["carl"], "base_uris": ["s3://open", "file:///mirror", "s3://none"]}),
]

TESTS_OF_FILTERED: dict[str | None, Test] = {
    None: lambda _: True,
    "genome": has("genome"),
    "genome -cancer": every(has("genome"), without(has("cancer"))),
    '"machine learning"': has("machine learning"),
    "-data": without(has("data")),
    "ocean OR sea": some(has("ocean"), has("sea")),
}


@pytest.mark.parametrize(("text", "filters"), FILTERS)
def test_filters(library: tuple[Any, list[Dataset]], text: str | None, filters: dict[str, list[str]]) -> None:
    shelf, datasets = library
    passes = TESTS_OF_FILTERED[text]

    def passes_filters(info: dict[str, Any]) -> bool:
        return (
            info["base_uri"] in filters.get("base_uris", BASE_URIS)
            and set(filters.get("tags", ())) <= set(info["tags"])
            and (
                "creator_usernames" not in filters or info["creator_username"] in filters["creator_usernames"]
            )
            and ("uploaded_by" not in filters or info["uploaded_by"] in filters["uploaded_by"])
        )

    assert search(shelf, text, **filters) == sorted(
        d.uri for d in datasets if passes_filters(d.info) and passes(d)
    )


def test_uuids(library: tuple[Any, list[Dataset]]) -> None:
    shelf, datasets = library
    for dataset in datasets[::50]:
        uuid = dataset.info["uuid"]
        assert search(shelf, uuid) == search(shelf, uuid.upper()) == [dataset.uri]
        assert search(shelf, uuid[:18] + "*") == [dataset.uri]
        assert search(shelf, uuid[:20] + "ffff") == []
        assert search(shelf, None, uuids=[uuid]) == [dataset.uri]
    wanted = [dataset.info["uuid"] for dataset in datasets[:5]]
    assert search(shelf, None, uuids=wanted) == sorted(dataset.uri for dataset in datasets[:5])


def test_questions_made_of_the_texts_themselves(library: tuple[Any, list[Dataset]]) -> None:
    """Words, phrases, prefixes, exclusions and alternatives, taken from anywhere in the texts."""
    shelf, datasets = library
    chance = random.Random(20261123)
    found = 0
    for _ in range(200):
        text, test = random_question(chance, datasets)
        expected = sorted(dataset.uri for dataset in datasets if test(dataset))
        assert search(shelf, text) == expected, text
        found += bool(expected)
    assert found > 100


def random_question(chance: random.Random, datasets: list[Dataset]) -> tuple[str, Test]:
    parts = [random_part(chance, datasets) for _ in range(chance.choice([1, 1, 2, 2, 3]))]
    text, test = " ".join(text for text, _ in parts), every(*(test for _, test in parts))
    if chance.random() < 0.3:
        excluded, excluded_test = random_term(chance, datasets)
        return f"{text} -{excluded}", every(test, without(excluded_test))
    return text, test


def random_part(chance: random.Random, datasets: list[Dataset]) -> tuple[str, Test]:
    terms = [random_term(chance, datasets) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
    return " OR ".join(text for text, _ in terms), some(*(test for _, test in terms))


def random_term(chance: random.Random, datasets: list[Dataset]) -> tuple[str, Test]:
    words = chance.choice([words for words in chance.choice(datasets).spelled if words])
    begin = chance.randrange(len(words))
    kind = chance.choice(["word", "phrase", "prefix"])
    if kind == "phrase":
        phrase = words[begin : begin + chance.randrange(2, 5)]
        return f'"{" ".join(phrase)}"', has(" ".join(phrase))
    word = words[begin]
    if kind == "prefix" and len(word) > 3:
        prefix = word[: chance.randrange(3, len(word))]
        return f"{prefix}*", starts(prefix)
    return word, has(word)


# -- The known item --------------------------------------------------------------------------------------------------


def test_the_dataset_one_has_in_mind_is_among_the_first(
    known_item: ModuleType, backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    descriptions = known_item.read_descriptions(CORPUS)
    questions = list(known_item.ask(descriptions, known_item.DEFAULT_SEED))
    assert len(questions) > 500
    settings = request.getfixturevalue("mongo_settings") if backend == "mongo" else {}
    databases = ExitStack()
    request.addfinalizer(databases.close)
    address = f"sqlite:///{tmp_path / 'known-item.db'}"
    if backend == "postgresql":
        address = databases.enter_context(new_schema(request.getfixturevalue("postgresql")))
    app = known_item.serve(descriptions, address, **settings)
    with app.app_context():
        assert known_item.mean_reciprocal_rank(known_item.first_ten, questions) >= 0.86
        sql_db.session.remove()
        sql_db.engine.dispose()
