#!/usr/bin/env python
"""Known-item test: is the dataset that one has in mind among the first that a search shows?

Somebody remembers two words of a dataset's title and one of how it is described, and asks for these three, sorted by
relevance. The score of a question is 1 for the first place, 1/2 for the second and so on, 0 beyond the tenth; the mean
over all questions is the MRR@10. What is searched are descriptions of public datasets (one JSON object a line, with
``slug`` and ``readme``), each registered as a dataset that is named after its slug, so that the words of its title are
found in its README.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from flask import Flask
from flask_smorest.pagination import PaginationParameters
from sqlalchemy import make_url

from dservercore import SortParameters, create_app, sql_db
from dservercore.catalog import base_uris, datasets, search
from dservercore.permissions import operator_scope
from dservercore.scope import OPERATOR

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "open-data-registry.jsonl.gz"
BASE_URI = "s3://open-data"
DEFAULT_SEED = 0
REQUIRED = 0.86
PLUGIN_HELP = (
    "search plugin to test (default: %(default)s); mongo needs SEARCH_MONGO_URI, _DB and _COLLECTION"
)

_STOP_WORDS = """
a about above across after all also am an and any are as at be because been before being below between both but by can
could did do does doing down during each few for from further had has have having he her here hers him his how i if in
into is it its itself just may me more most my no nor not of off on once only or other our ours out over own per s same
she should so some such t than that the their theirs them then there these they this those through to too under until
up upon us use used using very via was we were what when where which while who whom why will with within without would
you your yours
"""


@dataclass(frozen=True)
class Description:
    """One public dataset, as its publisher describes it."""

    slug: str
    title: str
    text: str
    tags: tuple[str, ...]
    readme: str  # YAML that holds all of the above but the slug

    @property
    def uri(self) -> str:
        return f"{BASE_URI}/{uuid.uuid5(uuid.NAMESPACE_URL, self.slug)}"


@dataclass(frozen=True)
class Question:
    """Three words, and the URI of the dataset that is meant."""

    text: str
    uri: str


def read_descriptions(corpus: Path = CORPUS) -> list[Description]:
    """Return the descriptions of the corpus in its order."""
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        return [_description(**json.loads(line)) for line in lines]


def _description(slug: str, readme: str) -> Description:
    fields = yaml.safe_load(readme)
    tags = dict.fromkeys(_dtool_name(str(tag)) for tag in fields.get("Tags") or ())
    return Description(slug, str(fields["Name"]), str(fields.get("Description", "")), tuple(tags), readme)


def _dtool_name(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z._-]+", "-", text)[:80]


def dataset_info(description: Description, **changes: Any) -> dict[str, Any]:
    """Return the document to register for a description."""
    return {
        "base_uri": BASE_URI,
        "uri": description.uri,
        "uuid": description.uri.rpartition("/")[2],
        "name": _dtool_name(description.slug),
        "type": "dataset",
        "readme": description.readme,
        "creator_username": "registry",
        "frozen_at": 1785542400.0,
        "created_at": 1785542400.0,
        "manifest": {"items": {}, "hash_function": "md5sum_hexdigest", "dtoolcore_version": "3.19.0"},
        "annotations": {},
        "tags": list(description.tags),
        "number_of_items": 0,
        "size_in_bytes": 0,
        **changes,
    }


def ask(descriptions: Sequence[Description], seed: int) -> Iterator[Question]:
    """Yield one question for each description whose title has two words to remember."""
    chance = random.Random(seed)
    for description in descriptions:
        title_words = _memorable_words(description.title)
        if len(title_words) < 2:
            continue
        remembered = chance.sample(title_words, 2)
        others = [word for word in _memorable_words(description.text[:600]) if word not in remembered]
        if others:
            yield Question(" ".join([*remembered, chance.choice(others)]), description.uri)


def _memorable_words(text: str) -> list[str]:
    words = dict.fromkeys(re.findall(r"[^\W_]+", text.lower()))
    stop_words = _STOP_WORDS.split()
    return [word for word in words if word not in stop_words]


def mean_reciprocal_rank(search: Callable[[str], Sequence[str]], questions: Sequence[Question]) -> float:
    """Return the MRR@10.

    :param search: returns the URIs of the first ten results for a text, best first
    """
    return sum(_reciprocal_rank(search(question.text)[:10], question.uri) for question in questions) / len(
        questions
    )


def _reciprocal_rank(found: Sequence[str], uri: str) -> float:
    return 1 / (found.index(uri) + 1) if uri in found else 0.0


def serve(descriptions: Sequence[Description], database: str, plugin: str = "sql", **settings: str) -> Flask:
    """Return an application in which the descriptions are registered.

    :param database: address of the SQL database, empty
    :param settings: further settings, such as those of the plugin
    """
    app = create_app(
        {
            "SECRET_KEY": "benchmark",
            "DISABLE_JWT_AUTHORISATION": True,
            "SQLALCHEMY_DATABASE_URI": database,
            "DSERVER_SEARCH_PLUGIN": plugin,
            "DSERVER_RETRIEVE_PLUGIN": "sql",
            **settings,
        }
    )
    with app.app_context():
        sql_db.create_all()
        base_uris.create_base_uri(BASE_URI, [], [])
        for description in descriptions:
            datasets.register_dataset(OPERATOR, operator_scope("register"), dataset_info(description))
        sql_db.session.commit()
    return app


def first_ten(text: str) -> list[str]:
    """Return the URIs of the most relevant datasets, best first. Needs an application context."""
    found = search.search(
        operator_scope("search"),
        {"free_text": text},
        PaginationParameters(1, 10),
        SortParameters("-relevance"),
    )
    return [dataset["uri"] for dataset in found]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--corpus", type=Path, default=CORPUS, help="gzipped JSON lines (default: %(default)s)"
    )
    parser.add_argument("--plugin", default="sql", help=PLUGIN_HELP)
    parser.add_argument(
        "--database",
        metavar="ADDRESS",
        help="SQL database, which must be empty, such as postgresql+psycopg2://user@host/name (default: an SQLite"
        " database that is deleted afterwards)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="SEED",
        default=list(range(DEFAULT_SEED, DEFAULT_SEED + 10)),
        help="each makes another set of questions (default: 0 to 9)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    arguments = parser.parse_args()

    descriptions = read_descriptions(arguments.corpus)
    scores = {}
    with tempfile.TemporaryDirectory() as folder:
        settings = {name: value for name, value in os.environ.items() if name.startswith("SEARCH_MONGO_")}
        database = arguments.database or f"sqlite:///{Path(folder, 'known-item.db')}"
        app = serve(descriptions, database, arguments.plugin, **settings)
        with app.app_context():
            for seed in arguments.seeds:
                questions = list(ask(descriptions, seed))
                scores[seed] = mean_reciprocal_rank(first_ten, questions)
                print(f"seed {seed:3d}   {len(questions)} questions   MRR@10 {scores[seed]:.4f}", flush=True)
            sql_db.session.remove()
            sql_db.engine.dispose()
    mean = sum(scores.values()) / len(scores)
    print(f"mean of {len(scores)} seeds          MRR@10 {mean:.4f}   (required: {REQUIRED})")
    if arguments.json:
        database = make_url(arguments.database or "sqlite://").get_backend_name()
        figures = {
            "plugin": arguments.plugin,
            "database": database,
            "mrr_at_10": scores,
            "mean": mean,
            "required": REQUIRED,
        }
        arguments.json.write_text(json.dumps(figures, indent=2))
    return 0 if mean >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main())
