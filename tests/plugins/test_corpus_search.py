"""Search in descriptions of 607 real datasets, compared with a plain reading of the same texts.

The reader below knows nothing of the server's analyser, parser or index. It goes through every text of every dataset,
letter by letter, for every question.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import Stemmer
import yaml
from benchmarks.descriptions import BASE_URI, CORPUS, Description, read_descriptions
from benchmarks.descriptions import dataset_info as description_info
from benchmarks.known_item import mean_reciprocal_rank
from benchmarks.known_item_questions import ask
from flask import Flask
from flask_smorest.pagination import PaginationParameters

from dservercore import SortParameters, create_app
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration
from dservercore.catalog import search as catalog_search
from dservercore.catalog.datasets import Document
from dservercore.catalog.scope import OPERATOR
from dservercore.dataset.word_forms import SPELLINGS, singular
from dservercore.db import sql_db
from support.databases import on_other_stores
from support.postgresql import new_schema

from .conftest import dataset_info

BASE_URIS = ["s3://open", "s3://open-data", "file:///mirror", "ecs://lab"]
CREATORS = ["Ana.Ruiz", "björn", "chen", "d.o'neill", "eve"]
UPLOADERS = ["rita", None, "carl"]

pytestmark = [
    pytest.mark.skipif(not CORPUS.exists(), reason=f"the corpus is not at {CORPUS}"),
    pytest.mark.parametrize(
        "backend", ["sqlite", *on_other_stores("postgresql", "mongo")], indirect=True, scope="session"
    ),
]


# -- The reader ------------------------------------------------------------------------------------------------------

_stemmer = Stemmer.Stemmer("english")

APOSTROPHES = "'’‘ʼʻʹ′ʾʿ"


@cache
def parts(word: str) -> tuple[str, ...]:
    """Return what a word is compared by: where letters meet digits it is taken apart, unless they do so too often.

    H2O stays whole, and so do numbers of eight digits and more to the base of sixteen.
    """
    runs = re.findall(r"[0-9]+|[^0-9]+", word)
    is_formula = max(map(len, runs)) == 1
    is_hexadecimal = len(word) >= 8 and set(word) <= set("0123456789abcdef")
    if (
        word.startswith("ꞏ")
        or word == "s3"
        or len(runs) > 6
        or (len(runs) > 2 and (is_formula or is_hexadecimal))
    ):
        return (word,)
    return tuple(run.lstrip("0") or "0" if run.isdigit() else stemmed(run) for run in runs)


def stemmed(word: str) -> str:
    if not re.fullmatch("[a-z]+", word):
        return word
    stem = _stemmer.stemWord(singular(word))
    if stem.endswith("s") and singular(word).endswith("ses"):
        stem = _stemmer.stemWord(stem)
    american = {
        _stemmer.stemWord(british): _stemmer.stemWord(american) for british, american in SPELLINGS.items()
    }
    return american.get(stem, stem)


@cache
def read(text: str, together: bool = False) -> list[str]:
    """Return the words of a text, as they are spelled.

    :param together: read SalesRegion and O'Hara as one word, and not as two
    """
    text = re.sub(r"(?<=\w)['’][sS](?!\w)", "", unicodedata.normalize("NFKC", text).replace("ꞏ", " "))
    text = re.sub(r"(^|[\s(\[=<>:;~+-])\.(?=\d)", r"\g<1>0.", text)
    text = re.sub(r"(\d[eE])\+(?=\d)", r"\1", text)
    text = re.sub(r"(?<![\w.,])(\d+)[.,](0\d+)(?![.,]?\d)", r"\1 ꞏ\2", text)
    text = re.sub(
        r"(?i)(?<![0-9a-z])([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})(?=-[0-9a-f]{12})",
        r"\1 ꞏ\2 ꞏ\3 ꞏ\4",
        text,
    )
    text = re.sub(r"(?i)(?<![0-9a-z])(?=\d*[a-f])([0-9a-f]{8})-([0-9a-f]{1,4})(?![0-9a-z])", r"\1 ꞏ\2", text)
    for whole in jointed(text) if together else ():
        text = text.replace(whole, re.sub(f"[{APOSTROPHES}]", "", whole))
    if not together:
        text = "".join(f" {c}" if c.isupper() and is_joint(text, n) else c for n, c in enumerate(text))
    return plain_words(text)


def is_joint(text: str, n: int) -> bool:
    """Return whether a word of several begins with a capital here: SalesRegion, HTTPServer."""
    around = text[max(0, n - 2) : n + 3]
    if n == 0 or not around or not text[n].isupper():
        return False
    after_small = n >= 2 and text[n - 2].islower() and text[n - 1].islower()
    after_capital = (
        text[n - 1].isupper() and len(text) > n + 2 and text[n + 1].islower() and text[n + 2].islower()
    )
    return after_small or after_capital


def jointed(text: str) -> list[str]:
    """Return the words, each once, that may be read as one or as several."""
    found = re.findall(rf"[^\W\d_]+(?:[{APOSTROPHES}][^\W\d_]+)*", text)
    return [
        word
        for word in dict.fromkeys(found)
        if any(c in word for c in APOSTROPHES)
        or any(c.isupper() and is_joint(word, n) for n, c in enumerate(word))
    ]


def plain_words(text: str) -> list[str]:
    words, word = [], ""
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
    if character in APOSTROPHES:
        return "border", ""
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
            "\n".join(said_in(info["readme"])),
            *info["tags"],
            info["creator_username"],
            self.uri,
            info["uuid"],
        ]
        texts += [str(part) for pair in info["annotations"].items() for part in pair]
        texts += [item["relpath"] for item in info["manifest"]["items"].values()]
        wholes = [whole for text in texts for whole in jointed(text)]
        self.spelled = [read(text) for text in texts] + [read(whole, together=True) for whole in wholes]
        self.stemmed = [[part for word in words for part in parts(word)] for words in self.spelled]
        self.all_stemmed = {word for words in self.stemmed for word in words}
        self.all_words = self.all_stemmed.union(*self.spelled)


def said_in(readme: str) -> Iterator[str]:
    """Yield the keys and values of a README in YAML, and then its comments, or all of another one."""
    try:
        content = yaml.load(readme, getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    except yaml.YAMLError:
        content = None
    if isinstance(content, str) or content is None:
        yield readme
        return
    stack = [content]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack += [one for pair in reversed(value.items()) for one in reversed(pair)]
        elif isinstance(value, list):
            stack += reversed(value)
        else:
            yield value
    for line in readme.split("\n"):
        if comment := re.search(r"(?:^|\s)#(.*)", line):
            yield comment[1]


Test = Callable[[Dataset], bool]


def has(phrase: str) -> Test:
    """Passes a dataset with these words, in this order, in one of its texts, read in either way."""
    return some(
        *(has_parts([part for word in read(phrase, way) for part in parts(word)]) for way in (False, True))
    )


def has_parts(wanted: list[str]) -> Test:
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
    """Passes a dataset with a word that begins so, as it is spelled or as it is stemmed, or with its parts."""
    spelled: Test = lambda d: any(word.startswith(prefix) for word in d.all_words)  # noqa: E731
    *before, last = parts(prefix)
    last = last if last.isdigit() else re.findall("[^0-9]*$", prefix)[0]
    return some(spelled, starts_after(" ".join(before), last)) if before else spelled


def starts_after(phrase: str, prefix: str) -> Test:
    """Passes a dataset with these words followed by one whose stem begins so, or that is the same word."""
    wanted = [part for word in read(phrase) for part in parts(word)]

    def test(dataset: Dataset) -> bool:
        return any(
            words[n : n + len(wanted)] == wanted
            and n + len(wanted) < len(words)
            and (words[n + len(wanted)].startswith(prefix) or words[n + len(wanted)] == parts(prefix)[-1])
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


@cache
def descriptions() -> list[Description]:
    return read_descriptions()


@pytest.fixture(scope="session")
def infos() -> list[dict[str, Any]]:
    """The descriptions as datasets, with files, annotations, creators and uploaders given out in turn."""
    return [described(n, description) for n, description in enumerate(descriptions())]


def described(n: int, description: Description) -> dict[str, Any]:
    info = description_info(description)
    slug = description.slug
    base_uri = BASE_URIS[n % len(BASE_URIS)]
    return dataset_info(
        info["name"],
        base_uri,
        uri=f"{base_uri}/{slug if base_uri.startswith('file:') else info['uuid']}",
        uuid=info["uuid"],
        readme=info["readme"],
        tags=info["tags"],
        creator_username=CREATORS[n % len(CREATORS)],
        uploaded_by=UPLOADERS[n % len(UPLOADERS)],
        annotations={"row number": n, "title words": len(description.title.split()), "ripe": n % 2 == 0},
        files=[f"raw/{slug}_R{n % 3}.fastq.gz", f"notes/{slug}.U{n:05d}.3.rev.1.bt2"],
    )


@pytest.fixture(scope="session")
def datasets(infos: list[dict[str, Any]]) -> list[Dataset]:
    """What there is to read of each; to go through it takes longer than to register it, so that it is done once."""
    return [Dataset(info["uri"], info) for info in infos]


@pytest.fixture(scope="module")
def library(
    new_shelf: Callable[[Path], Iterator[Any]],
    infos: list[dict[str, Any]],
    datasets: list[Dataset],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Any, list[Dataset]]]:
    """A shelf with the datasets, which its retrieve plugin tells as they were registered."""
    for shelf in new_shelf(tmp_path_factory.mktemp("corpus")):
        shelf.register_all(deepcopy(infos))
        for info in infos:
            assert told(shelf, info["uri"]) == {field: info[field] for field in TOLD}
        yield shelf, datasets


TOLD = ["readme", "annotations", "tags", "manifest"]


def told(shelf: Any, uri: str) -> dict[str, Any]:
    """Return what was registered, as the retrieve plugin tells it."""
    return {field: getattr(shelf.retrieve, f"get_{field}")(uri) for field in TOLD}


@pytest.fixture(scope="session")
def answer(datasets: list[Dataset]) -> Callable[[str], list[str]]:
    """Gives the URIs by which a reader answers one of the questions."""
    return cache(lambda text: answered_by(QUESTIONS[text], datasets))


def answered_by(test: Test, datasets: list[Dataset]) -> list[str]:
    return sorted(dataset.uri for dataset in datasets if test(dataset))


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
    "climate AND ocean": every(has("climate"), has("ocean")),
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
    "1,019": has("1,019"),
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
def test_finds_what_a_reader_finds(
    library: tuple[Any, list[Dataset]], answer: Callable[[str], list[str]], text: str
) -> None:
    shelf, _ = library
    assert search(shelf, text) == answer(text)


def test_the_questions_are_worth_asking(
    library: tuple[Any, list[Dataset]], answer: Callable[[str], list[str]]
) -> None:
    """Most are answered by some datasets and not by others."""
    _, datasets = library
    numbers = [len(answer(text)) for text in QUESTIONS]
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


@pytest.fixture(scope="session")
def questions_of_texts(datasets: list[Dataset]) -> list[tuple[str, list[str]]]:
    """Questions with words, phrases, prefixes, exclusions and alternatives from anywhere, and a reader's answers."""
    chance = random.Random(20261123)
    questions = [random_question(chance, datasets) for _ in range(200)]
    return [(text, answered_by(test, datasets)) for text, test in questions]


def test_questions_made_of_the_texts_themselves(
    library: tuple[Any, list[Dataset]], questions_of_texts: list[tuple[str, list[str]]]
) -> None:
    shelf, _ = library
    for text, expected in questions_of_texts:
        assert search(shelf, text) == expected, text
    assert sum(bool(expected) for _, expected in questions_of_texts) > 100


def random_question(chance: random.Random, datasets: list[Dataset]) -> tuple[str, Test]:
    parts = [random_part(chance, datasets) for _ in range(chance.choice([1, 1, 2, 2, 3]))]
    text, test = " ".join(text for text, _ in parts), every(*(test for _, test in parts))
    if chance.random() < 0.3:
        excluded, excluded_test = random_term(chance, datasets)
        sign = "NOT " if excluded.isdecimal() else "-"  # -12 is a number
        return f"{text} {sign}{excluded}", every(test, without(excluded_test))
    return text, test


def random_part(chance: random.Random, datasets: list[Dataset]) -> tuple[str, Test]:
    terms = [random_term(chance, datasets) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
    return " OR ".join(text for text, _ in terms), some(*(test for _, test in terms))


def random_term(chance: random.Random, datasets: list[Dataset]) -> tuple[str, Test]:
    texts = [[word for word in words if word[0] != "ꞏ"] for words in chance.choice(datasets).spelled]
    words = chance.choice([words for words in texts if words])
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


def serve(database: str, **settings: str) -> Flask:
    """An application with the descriptions in an empty database, and nothing else."""
    app = create_app(
        {
            "SECRET_KEY": "test",
            "DISABLE_JWT_AUTHORISATION": True,
            "SQLALCHEMY_DATABASE_URI": database,
            **settings,
        }
    )
    with app.app_context():
        sql_db.create_all()
        base_uris.create_base_uri(BASE_URI, [], [])
        batch = [Document(description_info(description)) for description in descriptions()]
        outcomes = registration.register_batch(OPERATOR, operator_scope("register"), batch)
        assert set(outcomes) == {"created"}
        sql_db.session.commit()
    return app


def first_ten(text: str) -> list[str]:
    """The URIs of the most relevant datasets, best first."""
    order = SortParameters("-relevance")
    found = catalog_search.search(
        operator_scope("search"), {"free_text": text}, PaginationParameters(1, 10), order
    )
    return [dataset["uri"] for dataset in found]


def test_the_dataset_one_has_in_mind_is_among_the_first(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    questions = ask("exact", descriptions(), seed=0)
    assert len(questions) > 500
    settings = request.getfixturevalue("mongo_settings") if backend == "mongo" else {}
    databases = ExitStack()
    request.addfinalizer(databases.close)
    address = f"sqlite:///{tmp_path / 'known-item.db'}"
    if backend == "postgresql":
        address = databases.enter_context(new_schema(request.getfixturevalue("postgresql")))
    app = serve(address, **settings)
    with app.app_context():
        assert mean_reciprocal_rank(first_ten, questions) >= 0.86
        sql_db.session.remove()
        sql_db.engine.dispose()
