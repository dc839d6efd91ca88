"""What is stored of a dataset to find it: tokens by column, for an index of any dialect.

Three kinds of token stand beside the words, told apart by a sign that no word contains: ``_sequences``, the spelling of
a word that is stored as its stem; ``|``, the border between two texts, which no phrase crosses; ``=c1f...``, a facet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal

from dservercore.text_query import BREAK, PIECE, analyse, pieces_of

#: The beginning of a README, where it says what the dataset is, counts once more than the rest: this many tokens.
LEAD_TOKENS = 100

#: After so many different words, the rest of a README, and of annotations, is not searched. Prose has no more in a
#: megabyte; every writer waits while they are put into an index.
MAX_README_WORDS, MAX_ANNOTATION_WORDS = 65_000, 20_000

#: After so many words in the names of all files of a dataset, and so many more for each file, the names of the rest are
#: not searched: each edit of the dataset takes all of them out of the index and puts them in again.
MAX_FILE_WORDS, WORDS_OF_A_FILE = 100_000, 20

FORM = "_"

#: The facet that every dataset has, and one that none has.
EVERY, NONE = "=all", "=none"

#: The facet of a base URI is this and its primary key.
BASE_URI = "=b"

Facet = Literal["creator", "tag", "uploader", "uuid"]
_SIGNS: dict[Facet, str] = {"creator": "=c", "tag": "=t", "uploader": "=p", "uuid": "=u"}


#: Characters of a value, above which its facet is not remembered.
MAX_REMEMBERED_VALUE = 100


def facet(kind: Facet, value: str) -> str:
    """Return the token by which datasets with exactly this creator, tag, uploader or UUID are found."""
    return _remembered_facet(kind, value) if len(value) <= MAX_REMEMBERED_VALUE else _facet(kind, value)


def _facet(kind: Facet, value: str) -> str:
    digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return _SIGNS[kind] + digest


class AnalysedDataset(dict[str, Any]):
    """A dataset's document, of which it is known what is to be stored to find it.

    :ivar columns: its tokens, as :func:`text_columns` returns them
    """

    def __init__(self, dataset_info: Mapping[str, Any]) -> None:
        super().__init__(dataset_info)
        self.columns = text_columns(dataset_info)


class AnalysedReadme(str):
    """A README, of which it is known what is to be stored to find it.

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
    """Annotations, of which it is known what is to be stored to find them.

    :ivar columns: their tokens, as :func:`annotation_columns` returns them
    """

    def __init__(self, annotations: Mapping[str, Any]) -> None:
        super().__init__(annotations)
        self.columns = annotation_columns(annotations)


def analysed_edit(field: str, value: Any) -> Any:
    """Return a new README or annotations, analysed; anything else as it is."""
    if field == "readme":
        return AnalysedReadme(value)
    return AnalysedAnnotations(value) if field == "annotations" else value


# With the longest values it takes 8 MB.
_remembered_facet = lru_cache(maxsize=10_000)(_facet)


def index_document(dataset_info: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, str]:
    """Return the tokens to store of a dataset, by column, with its facets.

    :param row: see :func:`tag_columns`
    """
    return {**text_columns(dataset_info), **tag_columns(dataset_info["tags"], row)}


def text_columns(dataset_info: Mapping[str, Any]) -> dict[str, str]:
    """Return the tokens to store of a dataset, by column, without facets."""
    if isinstance(dataset_info, AnalysedDataset):
        return dataset_info.columns
    return {
        "name": _stored([dataset_info["name"]]),
        "tags": tag_words(dataset_info["tags"]),
        "rest": _stored(_texts_of_rest(dataset_info), most_words=_most_words_of_files(dataset_info)),
        **annotation_columns(dataset_info["annotations"]),
        **readme_columns(dataset_info["readme"]),
    }


def readme_columns(readme: str) -> dict[str, str]:
    """Return the columns that a README fills."""
    if isinstance(readme, AnalysedReadme):
        return readme.columns
    tokens: list[str] = []
    lead: list[str] = []
    forms: dict[str, None] = {}
    different: set[str] = set()
    for piece in pieces_of(readme):
        if len(different) >= MAX_README_WORDS:
            break
        analysis = analyse(piece)
        lead += analysis.tokens[: LEAD_TOKENS - len(lead)]
        tokens.append(" ".join(analysis.tokens))
        forms |= dict.fromkeys(analysis.forms)
        different.update(analysis.tokens)
    return {"lead": " ".join(lead), "readme": _with_forms(" ".join(filter(None, tokens)), forms)}


def annotation_columns(annotations: Mapping[str, Any]) -> dict[str, str]:
    """Return the column that annotations fill, with their names and everything in their values."""
    if isinstance(annotations, AnalysedAnnotations):
        return annotations.columns
    return {"annotations": _stored(_texts_of_json(annotations), MAX_ANNOTATION_WORDS)}


def _most_words_of_files(dataset_info: Mapping[str, Any]) -> int:
    return MAX_FILE_WORDS + WORDS_OF_A_FILE * len(dataset_info["manifest"].get("items", {}))


def tag_words(tags: Iterable[str]) -> str:
    """Return the column that the words of tags fill."""
    return _stored(tags)


def tag_columns(tags: Iterable[str], row: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns that tags fill.

    :param row: of the dataset: ``base_uri_id``, ``creator_username``, ``uploaded_by`` and ``uuid``, whose facets stand
        beside those of the tags
    """
    tags = list(tags)
    facets = [
        EVERY,
        f"{BASE_URI}{row['base_uri_id']}",
        facet("creator", row["creator_username"]),
        facet("uuid", row["uuid"].lower()),
        *(facet("tag", tag) for tag in tags),
    ]
    if row["uploaded_by"] is not None:
        facets.append(facet("uploader", row["uploaded_by"]))
    return {"tags": tag_words(tags), "facets": " ".join(facets)}


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
    """Yield texts in groups that can be analysed at once, or one alone that is longer than that."""
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


def _texts_of_rest(dataset_info: Mapping[str, Any]) -> Iterator[str]:
    yield dataset_info["creator_username"]
    yield dataset_info["uri"]
    if dataset_info["uuid"] not in dataset_info["uri"]:
        yield dataset_info["uuid"]
    for item in dataset_info["manifest"].get("items", {}).values():
        yield item.get("relpath", "")


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
        elif value is not None:
            yield value if isinstance(value, str) else str(value)
