"""Relevance on SQLite is worked out by sets, or one by one where that takes less time: it is the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from dservercore.plugins.sql.fts5_relevance import _best, _parted, _parted_one_by_one

Groups = dict[float, set[int]]
Levels = list[tuple[float, set[int]]]

ids = st.sets(st.integers(0, 40), min_size=1)


@st.composite
def apart(draw: st.DrawFn, most: int) -> Levels:
    """Sets of datasets that have none in common, by distinct numbers, the greatest first."""
    numbers = draw(st.lists(st.integers(1, 100), unique=True, max_size=most))
    level_of = draw(st.dictionaries(st.integers(0, 40), st.sampled_from(numbers or [0])))
    found: dict[float, set[int]] = defaultdict(set)
    for id_, level in level_of.items():
        found[float(level)].add(id_)
    return sorted(found.items(), reverse=True)


def together(
    parts: Iterable[tuple[float, float | None, set[int]]],
) -> dict[tuple[float, float | None], set[int]]:
    found: dict[tuple[float, float | None], set[int]] = defaultdict(set)
    for key, share, part in parts:
        assert part
        assert not found[key, share] & part
        found[key, share] |= part
    return found


@given(apart(30), apart(6))
def test_sets_part_groups_as_a_loop_does(groups: Levels, levels: Levels) -> None:
    expected: dict[tuple[float, float | None], set[int]] = defaultdict(set)
    share_of = {id_: share for share, having in levels for id_ in having}
    for key, equals in groups:
        for id_ in equals:
            expected[key, share_of.get(id_)].add(id_)
    assert together(_parted(dict(groups), levels)) == expected
    assert together(_parted_one_by_one(dict(groups), levels)) == expected


@given(st.lists(st.tuples(st.floats(0, 1), ids)))
def test_each_dataset_counts_by_the_best_way(levels: Levels) -> None:
    best = _best(levels)
    assert {id_: share for share, having in best for id_ in having} == {
        id_: max(share for share, having in levels if id_ in having) for _, having in levels for id_ in having
    }
    assert sum(len(having) for _, having in best) == len(set().union(*(having for _, having in levels)))
