"""Whether two words are of one family, such as smoking and smokers."""

from __future__ import annotations

from itertools import takewhile

from dservercore.plugins.tokens.stop_words import STOP_WORDS

# Letters that related words begin with, if they differ in a letter at most or in a known ending.
_ALIKE = 5

#: Letters that they begin with, if both have a known ending.
SHORTEST_BEGINNING = 4

# Endings of English words that derive from each other.
_DERIVING = """
a able ably ae al ally als an ance ances ant ants ar ary ate ated ates ating ation ations ative ator ators ed ence ences
ent ents er ers es est ful i ia ial ian ians ible ic ical ically ics ied ies ing ings ion ions is ise ised ises ising
ism isms ist istic ists ities ity ive ize ized izes izing less ly ment ments ness or ors ory ous s tion tional tions us
um y
"""
_ENDINGS = frozenset(_DERIVING.split())


def are_related(one: str, other: str) -> bool:
    """Return whether two words, none of which says nothing, have a beginning in common, and little besides.

    >>> are_related("smokers", "smoking"), are_related("thermo", "therapies")
    (True, False)
    """
    if other in STOP_WORDS or not other.isalpha():
        return False
    alike = sum(1 for _ in takewhile(lambda letters: letters[0] == letters[1], zip(one, other, strict=False)))
    rests = (one[alike:], other[alike:])
    if alike < _ALIKE:
        return alike == SHORTEST_BEGINNING and all(rest in _ENDINGS for rest in rests)
    return all(len(rest) <= 1 or rest in _ENDINGS for rest in rests)
