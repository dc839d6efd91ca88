"""What people ask who have one dataset in mind: three words that they remember of it, and these with usual mistakes.

Everything comes from seeds. What a dataset is remembered by depends on the seed alone, and the mistakes on the seed,
the kind of mistake and the dataset: a question of one kind is the same whichever other kinds are asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from benchmarks.descriptions import Description

LONG_WORD = 5  # letters, from which on a word is likely to be mistyped
LEAST_TYPED = 3  # letters of a word that is half typed
LEAST_PART = 3  # letters of each part of a word that is written as two


@dataclass(frozen=True)
class Question:
    """What is typed, and the URI of the dataset that is meant."""

    text: str
    uri: str


@dataclass(frozen=True)
class Memory:
    """What somebody remembers of a dataset: two words of its title, in any order, and one of how it is described."""

    description: Description
    title_words: tuple[str, str]
    described_as: str

    @property
    def words(self) -> list[str]:
        return [*self.title_words, self.described_as]

    @property
    def longest(self) -> int:
        """The place of the word with the most letters; digits are none, as no number is mistyped here."""
        return max(range(3), key=lambda place: len(_letters(self.words[place])))

    def with_word(self, place: int, word: str) -> str:
        """Return the words with another one in the place of one of them."""
        return " ".join([*self.words[:place], word, *self.words[place + 1 :]])


def memories(descriptions: Sequence[Description], seed: int) -> Iterator[Memory]:
    """Yield what is remembered of each description whose title has two words to remember."""
    chance = random.Random(seed)
    for description in descriptions:
        if len(description.title_words) < 2:
            continue
        first, second = chance.sample(description.title_words, 2)
        others = [word for word in description.beginning_words if word not in (first, second)]
        if others:
            yield Memory(description, (first, second), chance.choice(others))


def ask(kind: str, descriptions: Sequence[Description], seed: int) -> list[Question]:
    """Return the questions of one kind, in the order of the descriptions.

    :param kind: one of :data:`KINDS`
    """
    asked = []
    for memory in memories(descriptions, seed):
        chance = random.Random(f"{seed}/{kind}/{memory.description.slug}")
        text = KINDS[kind](memory, chance, descriptions)
        if text is not None:
            asked.append(Question(text, memory.description.uri))
    return asked


# -- The kinds -------------------------------------------------------------------------------------------------------
# Each returns what is typed, or None where the mistake cannot be made in these words.

Others = Sequence[Description]


def exact(memory: Memory, chance: random.Random, others: Others) -> str:
    """Return the three words as they are."""
    return " ".join(memory.words)


def typo(memory: Memory, chance: random.Random, others: Others) -> str | None:
    """Swap two neighbouring letters, which differ, of the longest word."""
    word = memory.words[memory.longest]
    letters = _letters(word)
    places = [place for place in letters if place + 1 in letters and word[place] != word[place + 1]]
    if not places:
        return None
    place = chance.choice(places)
    return memory.with_word(memory.longest, word[:place] + word[place + 1] + word[place] + word[place + 2 :])


def typo2(memory: Memory, chance: random.Random, others: Others) -> str | None:
    """Lose, add or replace one letter of the longest word."""
    word = memory.words[memory.longest]
    return memory.with_word(memory.longest, mistyped(word, chance)) if len(_letters(word)) > 1 else None


def all_mistyped(memory: Memory, chance: random.Random, others: Others) -> str | None:
    """Lose, add or replace one letter of every word from five letters on."""
    is_long = [len(_letters(word)) >= LONG_WORD for word in memory.words]
    if not any(is_long):
        return None
    words = zip(memory.words, is_long, strict=True)
    return " ".join(mistyped(word, chance) if long else word for word, long in words)


def prefix(memory: Memory, chance: random.Random, others: Others) -> str | None:
    """Type only half of the last word, and three letters at least."""
    word = memory.described_as
    typed = max(LEAST_TYPED, (len(word) + 1) // 2)
    return memory.with_word(2, word[:typed]) if typed < len(word) else None


def slip(memory: Memory, chance: random.Random, others: Others) -> str | None:
    """Add, somewhere, a word that the beginning of another description has, and that is nowhere in this dataset."""
    for other in chance.sample(others, len(others)):
        foreign = [word for word in other.beginning_words if not memory.description.has(word)]
        if foreign:
            words = memory.words
            words.insert(chance.randrange(4), chance.choice(foreign))
            return " ".join(words)
    return None


def question(memory: Memory, chance: random.Random, others: Others) -> str:
    """Ask with the three words in a sentence."""
    first, second, third = memory.words
    return f"where is the data on {first} and {second} from the {third}?"


def glued(memory: Memory, chance: random.Random, others: Others) -> str | None:
    """Write the two words of the title as one, in the order that they have there; two numbers would be another one."""
    one = "".join(sorted(memory.title_words, key=memory.description.title_words.index))
    return None if one.isdigit() else f"{one} {memory.described_as}"


def split(memory: Memory, chance: random.Random, others: Others) -> str | None:
    """Write the longest word as two, of three letters at least."""
    word = memory.words[memory.longest]
    places = range(LEAST_PART, len(word) - LEAST_PART + 1)
    if not places:
        return None
    place = chance.choice(places)
    return memory.with_word(memory.longest, f"{word[:place]} {word[place:]}")


#: By name, in the order in which they are reported.
KINDS: dict[str, Callable[[Memory, random.Random, Others], str | None]] = {
    "exact": exact,
    "typo": typo,
    "typo2": typo2,
    "all": all_mistyped,
    "prefix": prefix,
    "slip": slip,
    "question": question,
    "glued": glued,
    "split": split,
}


# -- Letters ---------------------------------------------------------------------------------------------------------


def mistyped(word: str, chance: random.Random) -> str:
    """Return a word with one letter lost, added or replaced; what else is in it, such as digits, stays.

    :param word: with a letter at least
    """
    letters = _letters(word)
    how = chance.choice(["lost", "added", "replaced"])
    if how == "added":
        place = chance.choice([*letters, letters[-1] + 1])
        return word[:place] + chance.choice(ascii_lowercase) + word[place:]
    place = chance.choice(letters)
    if how == "lost":
        return word[:place] + word[place + 1 :]
    return word[:place] + chance.choice(ascii_lowercase.replace(word[place], "")) + word[place + 1 :]


def _letters(word: str) -> list[int]:
    """Return the places of a word in which a letter is."""
    return [place for place, character in enumerate(word) if character.isalpha()]
