"""Descriptions of public datasets, for benchmarks of what people find: read, and made into datasets to register.

A corpus has one JSON object a line, with ``slug`` and ``readme``. Each description is a dataset that is named after its
slug, so that the words of its title are found in its README.
"""

from __future__ import annotations

import gzip
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import Stemmer
import yaml

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "open-data-registry.jsonl.gz"
BASE_URI = "s3://open-data"
BEGINNING = 600  # characters of a description, of which somebody remembers a word

_STOP_WORDS = """
a about above across after all also am an and any are as at be because been before being below between both but by can
could did do does doing down during each few for from further had has have having he her here hers him his how i if in
into is it its itself just may me more most my no nor not of off on once only or other our ours out over own per s same
she should so some such t than that the their theirs them then there these they this those through to too under until
up upon us use used using very via was we were what when where which while who whom why will with within without would
you your yours
"""
_stemmer = Stemmer.Stemmer("english")


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

    @cached_property
    def title_words(self) -> list[str]:
        """The words of the title that somebody may remember, in its order."""
        return memorable_words(self.title)

    @cached_property
    def beginning_words(self) -> list[str]:
        """The words of the beginning of the text that somebody may remember, in its order."""
        return memorable_words(self.text[:BEGINNING])

    def has(self, word: str) -> bool:
        """Return whether a word is anywhere in what is registered, also with another English ending."""
        return _stemmer.stemWord(word) in self._stems

    @cached_property
    def _stems(self) -> frozenset[str]:
        words = _words(" ".join([self.slug, self.readme, *self.tags, self.uri]))
        return frozenset(_stemmer.stemWords(words))


def read_descriptions(corpus: Path = CORPUS) -> list[Description]:
    """Return the descriptions of the corpus in its order.

    :param corpus: gzipped JSON lines
    :raises FileNotFoundError: if it is not there
    """
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        return [_description(**json.loads(line)) for line in lines]


def _description(slug: str, readme: str) -> Description:
    fields = yaml.load(
        readme, getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )  # in C: for all, 1 second and not 9
    tags = dict.fromkeys(_dtool_name(str(tag)) for tag in fields.get("Tags") or ())
    return Description(slug, str(fields["Name"]), str(fields.get("Description", "")), tuple(tags), readme)


def _dtool_name(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z._-]+", "-", text)[:80]


def memorable_words(text: str) -> list[str]:
    """Return the words of a text in lower case, each once, in its order, without those that say nothing."""
    stop_words = _STOP_WORDS.split()
    return [word for word in dict.fromkeys(_words(text)) if word not in stop_words]


def _words(text: str) -> Sequence[str]:
    return re.findall(r"[^\W_]+", text.lower())


def dataset_info(description: Description, **changes: Any) -> dict[str, Any]:
    """Return the document to register for a description; *changes* are further or other fields."""
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
