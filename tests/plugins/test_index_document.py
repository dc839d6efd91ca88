"""What is stored to find a dataset is the same however much is analysed at once, and has bounds."""

from __future__ import annotations

import pytest

from dservercore.dataset.analysis import PIECE, analyse, normalized_length, pieces_of, tokens_of
from dservercore.plugins.tokens import index_document
from dservercore.plugins.tokens.index_document import (
    FORM,
    MAX_FILE_WORDS,
    WORDS_OF_A_FILE,
    AnalysedAnnotations,
    AnalysedDataset,
    AnalysedReadme,
    annotation_columns,
    facet,
    readme_columns,
    text_columns,
)
from support.world import dataset_info

TEXTS = [
    "",
    " ",
    "running runs " * 20_000,
    "Müller's Straße\n" * 10_000,
    "x" * (3 * PIECE),
    "日本語のテキスト" * 20_000,
    "a" * PIECE + " b",
    " " * (2 * PIECE) + "end",
]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_make_up_the_text(text: str) -> None:
    assert "".join(pieces_of(text)) == text
    assert all(len(piece) <= PIECE for piece in pieces_of(text))


@pytest.mark.parametrize("text", [text for text in TEXTS if " " in text or "\n" in text or len(text) < PIECE])
def test_a_text_in_pieces_has_the_tokens_of_the_whole(text: str) -> None:
    whole = analyse(text)
    columns = readme_columns(text)
    forms = [f"_{form}" for form in whole.forms]
    stored = [token for token in columns["readme"].split() if token[0] != index_document.FACET]
    assert stored == [*whole.tokens, *forms]
    assert columns["lead"].split() == whole.tokens[: index_document.LEAD_TOKENS]


def test_what_is_analysed_beforehand_is_what_would_be_stored() -> None:
    info = dataset_info(readme="running wild", annotations={"soil": ["loams"]})
    assert AnalysedDataset(info).columns == text_columns(info)
    assert text_columns(AnalysedDataset(info)) == text_columns(info)
    assert readme_columns(AnalysedReadme("running wild")) == readme_columns("running wild")
    assert annotation_columns(AnalysedAnnotations(info["annotations"])) == annotation_columns(
        info["annotations"]
    )
    assert AnalysedReadme("x") == "x"
    assert AnalysedDataset(info) == info


def test_of_different_words_there_are_so_many_and_of_repeated_ones_any_number() -> None:
    many = " ".join(f"w{number}" for number in range(200_000))
    for columns, most in (
        (readme_columns(many)["readme"], index_document.MAX_README_WORDS),
        (annotation_columns({"a": many})["annotations"], index_document.MAX_ANNOTATION_WORDS),
        (annotation_columns({"a": many.split()})["annotations"], index_document.MAX_ANNOTATION_WORDS),
    ):
        words = {word for word in columns.split() if word[0] != FORM}
        assert most <= len(words) < most + PIECE
        assert len(set(columns.split())) < 2 * (most + PIECE)
    repeated = readme_columns("to be " * 100_000)["readme"].split()
    assert (repeated.count("to"), repeated.count("be")) == (100_000, 100_000)


def test_a_length_is_not_counted_further_than_it_matters() -> None:
    assert normalized_length("\ufdfa" * 10, 1000) == 180
    assert 1000 < normalized_length("\ufdfa" * 10_000_000, 1000) <= 18 * PIECE


def test_long_values_are_not_remembered() -> None:
    index_document._remembered_facet.cache_clear()
    facets = {facet("tag", f"{number}{'x' * 50_000}") for number in range(10)}
    assert len(facets) == 10
    assert index_document._remembered_facet.cache_info().currsize == 0
    assert facet("tag", "short") == facet("tag", "short")
    assert index_document._remembered_facet.cache_info().currsize == 1


def test_of_the_names_of_files_so_many_words_are_searched_as_ordinary_names_have() -> None:
    files = {str(n): {"relpath": " ".join(f"w{n}x{m}" for m in range(300))} for n in range(600)}
    info = dataset_info(manifest={"items": files})
    words = text_columns(info)["files"].split()
    most = MAX_FILE_WORDS + WORDS_OF_A_FILE * len(files)
    assert most <= len(words) < most + 2 * PIECE
    ordinary = {str(n): {"relpath": f"plate-{n % 96}/well_A{n}/site_3/image_{n}.tif"} for n in range(30_000)}
    assert (
        f"{' '.join(tokens_of('image29999'))} tif"
        in text_columns({**info, "manifest": {"items": ordinary}})["files"]
    )
