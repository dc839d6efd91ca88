"""What is stored of a dataset to find it: tokens by column, for an index of any dialect.

Three kinds of token stand beside the words, told apart by a sign that no word contains: ``_sequences``, the spelling of
a word that is stored as its stem; ``|``, the border between two texts, which no phrase crosses; ``=c1f...``, a facet:
by facets datasets are found that have exactly this creator, tag, year or the like, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Any, Literal

from dservercore.dataset.analysis import BREAK, PIECE, analyse, pieces_of
from dservercore.dataset.annotation_nodes import MAX_TEXT_LENGTH, annotation_value, folded_name
from dservercore.dataset.facets import MAX_ANNOTATION_NAMES, size_power
from dservercore.dataset.query_bounds import NUMBER
from dservercore.dataset.query_tree import Exactly
from dservercore.dataset.readme_values import has_description, text_of_values

#: The version of what is stored. What another version has stored is found as far as its words are the same, and is to
#: be stored again.
VERSION = 3

#: The beginning of a README, where it says what the dataset is, counts once more than the rest: this many tokens.
LEAD_TOKENS = 100

#: After so many different words, the rest of a README, and of annotations, is not searched. Prose has no more in a
#: megabyte; every writer waits while they are put into an index.
MAX_README_WORDS, MAX_ANNOTATION_WORDS = 65_000, 20_000

#: After so many words in the names of all files of a dataset, and so many more for each file, the names of the rest are
#: not searched: each edit of the dataset takes all of them out of the index and puts them in again.
MAX_FILE_WORDS, WORDS_OF_A_FILE = 100_000, 20

#: The signs that a form, and a facet, begin with.
FORM, FACET = "_", "="

# Numbers that are greater, or as small, are not searched with all their zeros.
_LONGEST_WRITTEN_OUT = 1e30
# Numbers that end in so many zeros are also searched as they are written with an exponent.
_ZEROS_OF_AN_EXPONENT = "000"

#: The facet that every dataset has, and one that none has.
EVERY, NONE = "=all", "=none"

#: The facet of a base URI is this and its primary key.
BASE_URI = "=b"

FacetKind = Literal["creator", "tag", "uploader", "uuid", "annotation", "value", "name"]
_SIGNS: dict[FacetKind, str] = {
    "creator": "=c",
    "tag": "=t",
    "uploader": "=p",
    "uuid": "=u",
    "annotation": "=a",
    "value": "=v",
    "name": "=n",
}

#: The facets of the year in which a dataset was created, or frozen, are these and four digits.
CREATED, FROZEN = "=yc", "=yf"

#: The facet of how large a dataset is: this and the power of a thousand bytes that its size reaches: 2 from 1 MB on.
SIZE = "=z"

#: The facet of what a dataset lacks: this and ``readme``, ``description``, ``tags`` or ``annotations``.
MISSING = "=m"

#: Characters of a value, above which its facet is not remembered.
MAX_REMEMBERED_VALUE = 100


def facet(kind: FacetKind, value: str) -> str:
    """Return the token by which datasets with exactly this creator, tag, uploader or UUID are found."""
    return _remembered_facet(kind, value) if len(value) <= MAX_REMEMBERED_VALUE else _facet(kind, value)


def _facet(kind: FacetKind, value: str) -> str:
    digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return _SIGNS[kind] + digest


def facet_of(condition: Exactly) -> str:
    """Return the facet of the datasets that fulfil a condition."""
    if condition.kind == "missing":
        return f"{MISSING}{condition.value}"
    return name_facet(condition.value) if condition.kind == "name" else facet(condition.kind, condition.value)


class AnalysedDataset(dict[str, Any]):
    """A dataset's document that has been analysed, together with the tokens that an index stores of it.

    :ivar columns: its tokens, as :func:`text_columns` returns them
    """

    def __init__(self, dataset_info: Mapping[str, Any]) -> None:
        super().__init__(dataset_info)
        self.columns = text_columns(dataset_info)


class AnalysedReadme(str):
    """A README that has been analysed, together with the tokens that an index stores of it.

    :ivar columns: its tokens, as :func:`readme_columns` returns them
    """

    __slots__ = ("columns",)
    columns: dict[str, str]

    def __new__(cls, readme: str) -> AnalysedReadme:
        """Return an analysed copy of a README."""
        analysed = super().__new__(cls, readme)
        analysed.columns = readme_columns(readme)
        return analysed


class AnalysedAnnotations(dict[str, Any]):
    """Annotations that have been analysed, together with the tokens that an index stores of them.

    :ivar columns: their tokens, as :func:`annotation_columns` returns them
    """

    def __init__(self, annotations: Mapping[str, Any]) -> None:
        super().__init__(annotations)
        self.columns = annotation_columns(annotations)


def analysed_edit(field: str, value: Any) -> Any:
    """Return the new value of a field, analysed if it is the README or the annotations, else as it is."""
    if field == "readme":
        return AnalysedReadme(value)
    return AnalysedAnnotations(value) if field == "annotations" else value


# Full of the longest values it takes 8 MB.
_remembered_facet = lru_cache(maxsize=10_000)(_facet)


#: The columns of a dataset's row of which facets are made.
ROW = (
    "base_uri_id",
    "created_at",
    "creator_username",
    "frozen_at",
    "name",
    "size_in_bytes",
    "uploaded_by",
    "uuid",
)


def index_document(dataset_info: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, str]:
    """Return the tokens to store of a dataset, by column, with the facets of its row.

    :param row: of the dataset, with the columns ``ROW``; times as datetimes, or as text that begins with the year
    """
    return {**text_columns(dataset_info), "facets": " ".join(_facets_of(row))}


def _facets_of(row: Mapping[str, Any]) -> Iterator[str]:
    yield EVERY
    yield f"{BASE_URI}{row['base_uri_id']}"
    yield facet("creator", row["creator_username"])
    yield facet("uuid", row["uuid"].lower())
    yield name_facet(row["name"])
    yield f"{CREATED}{_year_of(row['created_at'])}"
    yield f"{FROZEN}{_year_of(row['frozen_at'])}"
    if row["uploaded_by"] is not None:
        yield facet("uploader", row["uploaded_by"])
    if row["size_in_bytes"] is not None:
        yield f"{SIZE}{size_power(row['size_in_bytes'])}"


def name_facet(name: str) -> str:
    """Return the facet of the datasets whose name has just these words, whatever is between them."""
    return facet("name", " ".join(analyse(name).tokens))


def _year_of(moment: Any) -> str:
    return str(moment)[:4]


def facet_values(dataset_info: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, str]:
    """Return the creator, uploader, tags and names of annotations of a dataset by their facets.

    :param row: of the dataset, with ``creator_username`` and ``uploaded_by``, which may be None
    """
    found = {facet("creator", row["creator_username"]): row["creator_username"]}
    if row["uploaded_by"] is not None:
        found[facet("uploader", row["uploaded_by"])] = row["uploaded_by"]
    return found | tag_values(dataset_info["tags"]) | annotation_values(dataset_info["annotations"])


def tag_values(tags: Iterable[str]) -> dict[str, str]:
    """Return tags by their facets."""
    return {facet("tag", tag): tag for tag in tags}


def annotation_values(annotations: Iterable[str]) -> dict[str, str]:
    """Return the names of annotations by their facets, as many as have one."""
    return {facet("annotation", name): name for name in islice(annotations, MAX_ANNOTATION_NAMES)}


def text_columns(dataset_info: Mapping[str, Any]) -> dict[str, str]:
    """Return the tokens to store of a dataset, by column, without facets."""
    if isinstance(dataset_info, AnalysedDataset):
        return dataset_info.columns
    return {
        "name": _stored([dataset_info["name"]]),
        "about": _stored(_texts_about(dataset_info)),
        "files": _stored(_file_names(dataset_info), most_words=_most_words_of_files(dataset_info)),
        **tag_columns(dataset_info["tags"]),
        **annotation_columns(dataset_info["annotations"]),
        **readme_columns(dataset_info["readme"]),
    }


def readme_columns(readme: str) -> dict[str, str]:
    """Return the columns that a README fills, ``lead`` and ``readme``, as tokens separated by spaces."""
    if isinstance(readme, AnalysedReadme):
        return readme.columns
    tokens: list[str] = []
    lead: list[str] = []
    forms: dict[str, None] = {}
    different: set[str] = set()
    for piece in pieces_of(text_of_values(readme)):
        if len(different) >= MAX_README_WORDS:
            break
        analysis = analyse(piece)
        lead += analysis.tokens[: LEAD_TOKENS - len(lead)]
        tokens.append(" ".join(analysis.tokens))
        forms |= dict.fromkeys(analysis.forms)
        different.update(analysis.tokens)
    words = _with_forms(" ".join(filter(None, tokens)), forms)
    lacking = [*(() if any(tokens) else ("readme",)), *(() if has_description(readme) else ("description",))]
    return {"lead": " ".join(lead), "readme": _with_facets(words, [f"{MISSING}{what}" for what in lacking])}


def annotation_columns(annotations: Mapping[str, Any]) -> dict[str, str]:
    """Return the column ``annotations``: the words of their names and of everything in their values, and facets."""
    if isinstance(annotations, AnalysedAnnotations):
        return annotations.columns
    facets = [facet("annotation", name) for name in islice(annotations, MAX_ANNOTATION_NAMES)]
    facets += [facet("value", value) for value in _values_of(annotations)]
    words = _stored(_texts_of_json(annotations), MAX_ANNOTATION_WORDS)
    return {"annotations": _with_facets(words, facets or [f"{MISSING}annotations"])}


#: So many numbers of the annotations of a dataset can be searched by their size.
MAX_NUMBERS = 1000

#: Characters of the name of a number that can be told apart.
MAX_NUMBER_NAME = 255


def annotation_numbers(annotations: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return names and numbers of annotations, those of nested ones with their names joined by dots, each once.

    The elements of a list have the name of the list. A text that is a number counts as one; truth values do not.
    """
    found: dict[tuple[str, float], None] = {}
    for name, value in _named_values(annotations):
        number = _number_of(value)
        if number is not None:
            found[folded_name(name)[:MAX_NUMBER_NAME], number] = None
        if len(found) == MAX_NUMBERS:
            break
    return list(found)


def _named_values(annotations: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield names and values of annotations, those of nested ones with their names joined by dots.

    The elements of a list have the name of the list. A list, and an object, is yielded too, before what is in it.
    """
    stack: list[tuple[str, Any]] = list(annotations.items())[::-1]
    while stack:
        name, value = stack.pop()
        yield name, value
        if isinstance(value, Mapping):
            stack += [(f"{name}.{key}", child) for key, child in reversed(list(value.items()))]
        elif isinstance(value, (list, tuple)):
            stack += [(name, child) for child in reversed(value)]


def _values_of(annotations: Mapping[str, Any]) -> Iterator[str]:
    """Yield what stands for the names of annotations, and for texts and truth values of them, each once."""
    names: dict[str, None] = {}
    values: dict[tuple[str, str | bool], None] = {}
    for name, value in _named_values(annotations):
        if len(names) < MAX_ANNOTATION_NAMES:
            names[name] = None
        if len(values) < MAX_ANNOTATION_NAMES and _has_facet(value):
            values[name, value] = None
        if len(names) == len(values) == MAX_ANNOTATION_NAMES:
            break
    yield from dict.fromkeys(map(annotation_value, names))
    yield from dict.fromkeys(annotation_value(name, value) for name, value in values)


def _has_facet(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and len(value) <= MAX_TEXT_LENGTH)


def _number_of(value: Any) -> float | None:
    """Return the number that an annotation is; None: it is none, or none that a database can compare."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and not (len(value) < 40 and NUMBER.fullmatch(value.strip())):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _most_words_of_files(dataset_info: Mapping[str, Any]) -> int:
    return MAX_FILE_WORDS + WORDS_OF_A_FILE * len(dataset_info["manifest"].get("items", {}))


def tag_columns(tags: Iterable[str]) -> dict[str, str]:
    """Return the column that tags fill, ``tags``: their words, and their facets."""
    tags = list(tags)
    return {"tags": _with_facets(_stored(tags), [facet("tag", tag) for tag in tags] or [f"{MISSING}tags"])}


def _with_facets(words: str, facets: Iterable[str]) -> str:
    return " ".join(filter(None, [words, *facets]))


def _stored(texts: Iterable[str], most: int | None = None, most_words: int | None = None) -> str:
    """Return the tokens of *texts* and the forms of their words, going through a million file names in groups.

    :param most: different words, after which the rest is left out; None: nothing is
    :param most_words: words, different or not, after which the rest is left out; None: nothing is
    """
    number = 0
    tokens: list[str] = []
    forms: dict[str, None] = {}
    different: set[str] = set()
    for group in _groups(texts):
        parts = []
        for piece in [group] if len(group) > 1 else [[piece] for piece in pieces_of(group[0])]:
            if most is not None and len(different) >= most:
                break
            if most_words is not None and number >= most_words:
                break
            analysis = analyse(*piece)
            number += len(analysis.tokens)
            if most is not None:
                different.update(analysis.tokens)
            parts.append(" ".join(analysis.tokens))
            forms |= dict.fromkeys(analysis.forms)
        tokens.append(" ".join(filter(None, parts)))
    return _with_forms(f" {BREAK} ".join(tokens), forms)


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield texts in groups that can be analysed at once; a text that is longer than that is a group of its own."""
    group: list[str] = []
    length = 0
    for text in texts:
        if group and length + len(text) > PIECE:
            yield group
            group, length = [], 0
        group.append(text)
        length += len(text) + 1
    if group:
        yield group


def _with_forms(tokens: str, forms: Iterable[str]) -> str:
    return " ".join([tokens, *(FORM + form for form in forms)])


def _texts_about(dataset_info: Mapping[str, Any]) -> Iterator[str]:
    yield dataset_info["creator_username"]
    yield dataset_info["uri"]
    if dataset_info["uuid"] not in dataset_info["uri"]:
        yield dataset_info["uuid"]


def _file_names(dataset_info: Mapping[str, Any]) -> Iterator[str]:
    items = dataset_info["manifest"].get("items", {})
    for item in items.values():
        yield item.get("relpath", "")
    if items:
        yield ""  # so that there is a border behind the last name, too


def _texts_of_json(value: Any) -> Iterator[str]:
    """Yield keys, strings, numbers and truth values, in order and without recursion: the nesting is the client's."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, Mapping):
            for key, child in reversed(list(value.items())):
                stack += (child, key)
        elif isinstance(value, (list, tuple)):
            stack += reversed(value)
        elif isinstance(value, str):
            yield value
        elif isinstance(value, float):
            yield from _texts_of_number(value)
        elif value is not None:
            yield str(value)


def _texts_of_number(value: float) -> Iterator[str]:
    """Yield the ways to write a number: as Python does, without an exponent or a fraction of zero, and with one."""
    written = repr(value)
    yield written
    # 6.02e23 ends in zeros, although the number that is stored for it does not.
    number = Decimal(written).normalize()
    has_exponent = "e" in written
    if value.is_integer() and not has_exponent and format(number, "f").endswith(_ZEROS_OF_AN_EXPONENT):
        yield f"{number:e}"
    is_short = 1 / _LONGEST_WRITTEN_OUT < abs(value) < _LONGEST_WRITTEN_OUT or value == 0
    if is_short and (value.is_integer() or has_exponent):
        yield format(number, "f")
