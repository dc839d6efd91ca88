"""What others have, in base URIs that one may not search, changes nothing of what one is answered."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.attack

VISIBLE, ALSO_VISIBLE, HIDDEN = "s3://visible", "s3://also-visible", "s3://hidden"

WORDS = ["barley", "maize", "wheat", "rye", "oat", "lentil", "pea", "bean", "millet", "sorghum", "rice"]

#: Each is answered in an order to which the rarity of words contributes, or the length of texts, or a number.
QUESTIONS = [
    *(f"{one} OR {other}" for one, other in pairwise(WORDS)),
    "barley OR maize OR wheat OR rye OR oat",
    "barley rice",
    "bar* OR mai*",
    '"barley maize" OR wheat',
    "barley OR maize.wheat -rye",
    "barley",
]

SCOPES = [[VISIBLE], [VISIBLE, ALSO_VISIBLE]]


def answers(shelf: Any) -> list[Any]:
    """Return everything that a user is answered who may search one visible base URI, or both."""
    return [
        (question, sort, shelf.find(question, sort=sort, base_uris=base_uris, page=1, page_size=100))
        for question, sort in [
            *((question, "-relevance") for question in QUESTIONS),
            ("barley OR rice", "+relevance"),
            ("barley OR rice", "-relevance,name"),
            ("-barley", "name"),
        ]
        for base_uris in SCOPES
    ]


def some_words(chance: random.Random, most: int) -> str:
    return " ".join(chance.choices(WORDS, weights=range(1, len(WORDS) + 1), k=chance.randint(1, most)))


@pytest.fixture(scope="module")
def visible(
    new_shelf: Callable[[Path], Iterator[Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Thirty datasets in two base URIs, in which some words are rarer than others."""
    for shelf in new_shelf(tmp_path_factory.mktemp("visible")):
        chance = random.Random(3)
        for number in range(30):
            shelf.register(
                f"set-{number}",
                [VISIBLE, ALSO_VISIBLE][number % 2],
                readme=some_words(chance, 60),
                tags=chance.sample(WORDS, number % 3),
                files=[f"{chance.choice(WORDS)}.csv"],
            )
        yield shelf


def test_the_answers_say_something(visible: Any) -> None:
    orders = {tuple(names) for _, _, names in answers(visible)}
    assert len(orders) > len(QUESTIONS)
    for base_uris in SCOPES:
        best = visible.find("barley OR rice", sort="-relevance", base_uris=base_uris, page=1)
        assert best != visible.find("barley OR rice", sort="+relevance", base_uris=base_uris, page=1)


@pytest.mark.parametrize(
    ("number", "described"),
    [
        pytest.param(40, lambda word: {"readme": word}, id="many datasets"),
        pytest.param(
            2, lambda word: {"readme": f"{word} " * 20_000, "tags": [word]}, id="long READMEs, tags"
        ),
        pytest.param(
            2,
            lambda word: {"annotations": {word: [{word: word}]}, "creator_username": word},
            id="annotations",
        ),
        pytest.param(2, lambda word: {"files": [f"{word}/{n}.csv" for n in range(2000)]}, id="files"),
        pytest.param(
            1, lambda word: {"readme": f"{word} x" + "y z" * 400_000}, id="words in parts of their own"
        ),
    ],
)
def test_nothing_hidden_changes_an_answer(visible: Any, number: int, described: Callable[..., Any]) -> None:
    before = answers(visible)
    uris = [visible.register(f"hidden-{n}", HIDDEN, **described("barley")) for n in range(number)]
    assert answers(visible) == before
    visible.set_readme(uris[0], "wheat maize rice")
    for uri in uris[1:]:
        visible.delete(uri)
    assert answers(visible) == before
    visible.delete(uris[0])


def test_the_order_does_not_tell_which_word_is_rare_elsewhere(visible: Any) -> None:
    """Whoever may register can make datasets between which the rarity of two words alone decides."""
    mine = [
        visible.register(name, VISIBLE, readme=f"{word} filler")
        for name, word in (("first", "gneiss"), ("second", "schist"))
    ]
    orders = set()
    for frequent, rare in (("gneiss", "schist"), ("schist", "gneiss")):
        hidden = [visible.register(f"hidden-{n}", HIDDEN, readme=frequent) for n in range(10)]
        hidden.append(visible.register("hidden-rare", HIDDEN, readme=rare))
        orders.add(tuple(visible.find("gneiss OR schist", sort="-relevance", base_uris=[VISIBLE], page=1)))
        for uri in hidden:
            visible.delete(uri)
    for uri in mine:
        visible.delete(uri)
    assert len(orders) == 1
