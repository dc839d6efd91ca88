"""The questions of the known-item test are of the kind that they are said to be, and the same for the same seed."""

from __future__ import annotations

import gzip
import json
import random
import re
from itertools import pairwise
from math import ceil
from pathlib import Path

import pytest
from benchmarks.descriptions import Description, dataset_info, memorable_words, read_descriptions
from benchmarks.known_item import (
    REQUIRED,
    UnknownDescriptionError,
    mean_reciprocal_rank,
    peoples_questions,
    questions_of,
    score,
)
from benchmarks.known_item_questions import KINDS, Memory, Question, ask, memories, mistyped

SEEDS = range(3)
#: Words among which every mistake meets one in which it cannot be made.
ODD_WORDS = [
    "2011",
    "5",
    "a1",
    "o2",
    "ee",
    "aaaa",
    "noon",
    "xxxxxxx",
    "mod09ga",
    "¼",
    "360º",
    "séries",
    "hg38",
    "sea",
]


def word_of(chance: random.Random) -> str:
    if chance.random() < 0.25:
        return chance.choice(ODD_WORDS)
    return "".join(chance.choices("abdeglmnorstuwxyz", k=chance.randint(2, 12)))


def description_of(slug: str, title: str, text: str = "", tags: tuple[str, ...] = ()) -> Description:
    readme = json.dumps({"Name": title, "Description": text, "Tags": tags}, ensure_ascii=False)
    return Description(slug, title, text, tags, readme)


def made_up() -> list[Description]:
    chance = random.Random(1)
    vocabulary = [word_of(chance) for _ in range(400)]
    descriptions = []
    for number in range(250):
        title = " ".join(chance.choices(vocabulary, k=chance.randint(1, 6)))
        text = " ".join(chance.choices([*vocabulary, "the", "of", "and"], k=chance.randint(0, 200)))
        descriptions.append(description_of(f"made-up-{number}", title.title(), text))
    return descriptions


CORPUS = made_up()


def asked(kind: str) -> list[tuple[Memory, str]]:
    """What is remembered of each dataset, and what is typed; each kind leaves some out, but not many."""
    pairs = []
    for seed in SEEDS:
        typed = {question.uri: question.text for question in ask(kind, CORPUS, seed)}
        remembered = list(memories(CORPUS, seed))
        assert 0.6 * len(remembered) < len(typed)
        assert typed.keys() <= {memory.description.uri for memory in remembered}
        pairs += [(m, typed[m.description.uri]) for m in remembered if m.description.uri in typed]
    return pairs


def letters(word: str) -> str:
    return "".join(filter(str.isalpha, word))


def edits(one: str, other: str) -> int:
    """How many letters must be lost, added or replaced to make one word of another."""
    row = list(range(len(other) + 1))
    for n, letter in enumerate(one, 1):
        last, row = row, [n]
        for m, wanted in enumerate(other, 1):
            row.append(min(last[m] + 1, row[-1] + 1, last[m - 1] + (letter != wanted)))
    return row[-1]


def changed(memory: Memory, typed: str) -> tuple[str, str]:
    """The only word that was changed, which must have as many letters as any, and what it became."""
    words = typed.split(" ")
    assert len(words) == 3
    pairs = [pair for pair in zip(memory.words, words, strict=True) if pair[0] != pair[1]]
    assert len(pairs) == 1, "one word, and no more, is mistyped"
    assert len(letters(pairs[0][0])) == max(len(letters(word)) for word in memory.words)
    return pairs[0]


class TestMemories:
    def test_two_words_of_the_title_and_one_of_the_beginning_of_the_text(self) -> None:
        for memory, _ in asked("exact"):
            assert len(set(memory.words)) == 3
            assert set(memory.title_words) <= set(memorable_words(memory.description.title))
            assert memory.described_as in memorable_words(memory.description.text[:600])

    def test_nobody_remembers_a_title_of_one_word_or_a_dataset_that_is_not_described(self) -> None:
        untold = [description_of("a", "Barley", "harvest"), description_of("b", "Barley pods")]
        untold += [
            description_of("c", "Barley and the", "harvest"),
            description_of("d", "Red pods", "red pods"),
        ]
        assert list(memories(untold, 0)) == []

    def test_words_that_say_nothing_are_not_remembered(self) -> None:
        assert memorable_words("Where the barley_data is: The Data of 2011's µm") == [
            "barley",
            "data",
            "2011",
            "µm",
        ]


class TestKinds:
    def test_figures_are_required_of_all(self) -> None:
        assert list(KINDS) == list(REQUIRED)

    def test_exact(self) -> None:
        for memory, typed in asked("exact"):
            assert typed == " ".join(memory.words)

    def test_typo(self) -> None:
        for memory, typed in asked("typo"):
            word, mistake = changed(memory, typed)
            assert len(word) == len(mistake)
            first, second = (place for place in range(len(word)) if word[place] != mistake[place])
            assert second == first + 1
            assert mistake[first] + mistake[second] == word[second] + word[first]
            assert (word[first] + word[second]).isalpha()

    def test_typo2(self) -> None:
        lengths = set()
        for memory, typed in asked("typo2"):
            word, mistake = changed(memory, typed)
            assert edits(word, mistake) == 1
            assert re.sub(r"\D", "", word) == re.sub(r"\D", "", mistake)
            lengths.add(len(mistake) - len(word))
        assert lengths == {-1, 0, 1}

    def test_all(self) -> None:
        for memory, typed in asked("all"):
            distances = [edits(*pair) for pair in zip(memory.words, typed.split(" "), strict=True)]
            assert distances == [len(letters(word)) >= 5 for word in memory.words]
            assert any(distances)

    def test_prefix(self) -> None:
        for memory, typed in asked("prefix"):
            *whole, half = typed.split(" ")
            assert tuple(whole) == memory.title_words
            assert memory.described_as.startswith(half)
            assert half != memory.described_as
            assert len(half) == max(3, ceil(len(memory.described_as) / 2))

    def test_slip(self) -> None:
        places = set()
        for memory, typed in asked("slip"):
            words = typed.split(" ")
            (foreign,) = set(words) - set(memory.words)
            places.add(words.index(foreign))
            words.remove(foreign)
            assert words == memory.words
            assert foreign not in memorable_words(memory.description.readme)
            assert any(foreign in memorable_words(other.text[:600]) for other in CORPUS)
        assert places == {0, 1, 2, 3}

    def test_question(self) -> None:
        for memory, typed in asked("question"):
            found = re.fullmatch(r"where is the data on (\w+) and (\w+) from the (\w+)\?", typed)
            assert found
            assert list(found.groups()) == memory.words

    def test_glued(self) -> None:
        for memory, typed in asked("glued"):
            glued, described_as = typed.split(" ")
            assert described_as == memory.described_as
            first, second = sorted(memory.title_words, key=memorable_words(memory.description.title).index)
            assert glued == first + second

    def test_split(self) -> None:
        for memory, typed in asked("split"):
            words = typed.split(" ")
            assert len(words) == 4
            joined = [[*words[:n], words[n] + words[n + 1], *words[n + 2 :]] for n in range(3)]
            place = joined.index(memory.words)
            assert len(words[place]) >= 3 <= len(words[place + 1])
            assert len(letters(memory.words[place])) == max(len(letters(word)) for word in memory.words)


class TestMistakesThatCannotBeMade:
    """The kind is not asked of these words, rather than asked as if nothing were wrong."""

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("typo", "aaaaaa b 2011"),  # swapping equal letters changes nothing
            ("typo", "b1c a2d 2011"),  # no two letters are neighbours
            ("typo2", "b 10 2011"),
            ("all", "data sea 12345"),
            ("prefix", "barley pods sea"),
            ("slip", "barley pods sea"),  # no other description has any other word
            ("glued", "2011 10 sea"),
            ("split", "pods beans sea"),
        ],
    )
    def test_in_these_words(self, kind: str, words: str) -> None:
        first, second, third = words.split()
        description = description_of("a", f"{first} {second}", third)
        memory = Memory(description, (first, second), third)
        others = [description, description_of("b", "Pods", third)]
        for seed in range(20):
            assert KINDS[kind](memory, random.Random(seed), others) is None

    def test_a_word_is_foreign_only_if_no_other_form_of_it_is_there(self) -> None:
        description = description_of("a", "Barley genomes", "sea of fields", tags=("soil-sample",))
        others = [description, description_of("b", "Pods", "genome field seas soil samples barleys granite")]
        memory = Memory(description, ("barley", "genomes"), "sea")
        for seed in range(20):
            assert "granite" in str(KINDS["slip"](memory, random.Random(seed), others))

    def test_digits_are_left_alone(self) -> None:
        for seed in range(200):
            mistake = mistyped("mod09ga", random.Random(seed))
            assert re.findall(r"\d", mistake) == ["0", "9"]
            assert edits("mod09ga", mistake) == 1


class TestSeeds:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_same_seed_asks_the_same_and_another_one_does_not(self, kind: str) -> None:
        assert ask(kind, CORPUS, 1) == ask(kind, CORPUS, 1) != ask(kind, CORPUS, 2)

    def test_no_kind_depends_on_those_that_are_asked_before(self) -> None:
        forwards = {kind: ask(kind, CORPUS, 1) for kind in KINDS}
        assert forwards == {kind: ask(kind, CORPUS, 1) for kind in reversed(KINDS)}

    def test_mistakes_in_a_dataset_do_not_depend_on_what_comes_after_it(self) -> None:
        for kind in set(KINDS) - {"slip"}:  # which takes its word from any of the others
            whole = {question.uri: question.text for question in ask(kind, CORPUS, 1)}
            for question in ask(kind, CORPUS[:50], 1):
                assert whole[question.uri] == question.text

    def test_questions_stay_what_they_were(self) -> None:
        """Figures of different days, machines and Pythons can be compared."""
        descriptions = [
            description_of(
                "barley", "Barley Root Images", "Photographs of the roots of seedlings in rhizotrons"
            ),
            description_of("ocean", "Ocean Temperature Maps", "Satellite measurements of the surface"),
        ]
        assert {kind: [question.text for question in ask(kind, descriptions, 0)] for kind in KINDS} == {
            "exact": ["root images photographs", "temperature maps measurements"],
            "typo": ["root images hpotographs", "temperature maps emasurements"],
            "typo2": ["root images photographps", "temperature maps easurements"],
            "all": ["root imags photoographs", "ktemperature maps meaturements"],
            "prefix": ["root images photog", "temperature maps measur"],
            "slip": ["root surface images photographs", "temperature maps roots measurements"],
            "question": [
                "where is the data on root and images from the photographs?",
                "where is the data on temperature and maps from the measurements?",
            ],
            "glued": ["rootimages photographs", "temperaturemaps measurements"],
            "split": ["root images phot ographs", "temperature maps meas urements"],
        }


class TestScores:
    QUESTIONS = [Question("a", "s3://a"), Question("b", "s3://b"), Question("c", "s3://c")]

    def test_the_place_of_what_is_meant(self) -> None:
        found = {"a": ["s3://a"], "b": ["s3://x", "s3://b"], "c": ["s3://x"]}
        assert mean_reciprocal_rank(found.__getitem__, self.QUESTIONS) == pytest.approx((1 + 1 / 2 + 0) / 3)

    def test_beyond_the_tenth_place_is_nothing(self) -> None:
        places = [f"s3://{n}" for n in range(9)]
        assert mean_reciprocal_rank(lambda _: [*places, "s3://a"], self.QUESTIONS[:1]) == 1 / 10
        assert mean_reciprocal_rank(lambda _: [*places, "s3://x", "s3://a"], self.QUESTIONS[:1]) == 0

    def test_each_seed_counts_as_much(self) -> None:
        scored = score(
            lambda text: [f"s3://{text}"] if text == "a" else [],
            {"0": self.QUESTIONS[:1], "1": self.QUESTIONS[1:]},
        )
        assert scored == {"questions": 3, "mrr_at_10": {"0": 1, "1": 0}, "mean": 0.5}

    def test_nothing_that_could_be_asked_scores_nothing(self) -> None:
        assert score(lambda _: [], questions_of("exact", [], [0])) == {
            "questions": 0,
            "mrr_at_10": {},
            "mean": 0,
        }

    def test_a_few_questions_are_taken_evenly_from_all(self) -> None:
        every = questions_of("exact", CORPUS, [1])["1"]
        few = questions_of("exact", CORPUS, [1], most=10)["1"]
        places = [every.index(question) for question in few]
        gaps = {second - first for first, second in pairwise(places)}
        assert len(places) == 10
        assert max(gaps) - min(gaps) <= 1 < min(gaps)


class TestFiles:
    def test_a_corpus(self, tmp_path: Path) -> None:
        corpus = tmp_path / "corpus.gz"
        readme = "Name: Barley Roots\nDescription: Photographs\nTags: [plant, root images]\n"
        corpus.write_bytes(
            gzip.compress(json.dumps({"slug": "barley roots", "readme": readme}).encode() + b"\n")
        )
        (description,) = read_descriptions(corpus)
        assert (description.title, description.text) == ("Barley Roots", "Photographs")
        info = dataset_info(description, creator_username="ana")
        assert (info["name"], info["tags"]) == ("barley-roots", ["plant", "root-images"])
        assert info["creator_username"] == "ana"
        assert info["uri"] == f"{info['base_uri']}/{info['uuid']}" == description.uri

    def test_peoples_questions(self, tmp_path: Path) -> None:
        file = tmp_path / "questions.jsonl"
        lines = [
            {"question": "pictures of cereals", "slug": "made-up-1", "kind": "synonym"},
            {"question": "Gerste", "slug": "made-up-2", "kind": "german"},
        ]
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        one, other = Question("pictures of cereals", CORPUS[1].uri), Question("Gerste", CORPUS[2].uri)
        questions = peoples_questions(CORPUS, file)
        assert questions == {"synonym": [one], "german": [other], "together": [one, other]}

    def test_peoples_questions_about_another_corpus(self, tmp_path: Path) -> None:
        file = tmp_path / "questions.jsonl"
        file.write_text('{"question": "beans", "slug": "beans-2011", "kind": "synonym"}\n')
        with pytest.raises(UnknownDescriptionError, match="no 'beans-2011'"):
            peoples_questions(CORPUS, file)
        with pytest.raises(FileNotFoundError):
            peoples_questions(CORPUS, tmp_path / "none.jsonl")
