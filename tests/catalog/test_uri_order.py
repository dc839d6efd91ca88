"""Finding a page by counting finds what sorting everything finds."""

from __future__ import annotations

import random

import pytest

from dservercore.catalog.uri_order import URIOrder

APART = {"s3://b": 3, "s3://a": 4, "s3://a-b": 2, "s3://a0": 1, "s3://empty": 0, "file://x": 5}
NESTED = {"s3://a": 4, "s3://a/b": 3, "s3://c": 2}
NESTED_BEHIND = {"s3://a": 4, "s3://a/z": 3, "s3://c": 2}


def page_by_sorting(datasets, offset, limit, backwards):
    return sorted(datasets, reverse=backwards)[offset : offset + limit]


def order_of(datasets, keys):
    rows = []
    for key in keys:
        uris = sorted(uri for uri, its_key in datasets.items() if its_key == key)
        rows.append((key, len(uris), *((uris[0], uris[-1]) if uris else (None, None))))
    return URIOrder.of(rows)


def require_every_page(datasets, order):
    assert order.total == len(datasets)
    for backwards in (False, True):
        for limit in (1, 2, 3, 7, 100):
            for offset in range(len(datasets)):
                ids, number, within = order.of_page(offset, limit, backwards)
                touched = [uri for uri, key in datasets.items() if key in ids]
                assert number == len(touched)
                found = page_by_sorting(touched, within, limit, backwards)
                assert found == page_by_sorting(datasets, offset, limit, backwards)


@pytest.mark.parametrize("numbers", [APART, NESTED, NESTED_BEHIND, {}, {"s3://a": 1}])
def test_every_page(numbers):
    keys = dict(zip(numbers, random.Random(1).sample(range(100), len(numbers)), strict=True))
    datasets = {f"{base}/{n:04d}": keys[base] for base, number in numbers.items() for n in range(number)}
    require_every_page(datasets, order_of(datasets, keys.values()))


def test_every_page_where_datasets_are_anywhere():
    chance = random.Random(2)
    for _ in range(50):
        keys = range(chance.randint(1, 4))
        datasets = {
            f"s3://{chance.choice('abc')}/{n:04d}": chance.choice(keys) for n in range(chance.randint(0, 9))
        }
        require_every_page(datasets, order_of(datasets, keys))


def test_leaves_out_what_the_page_cannot_touch():
    order = URIOrder.of(
        [(1, 10, "s3://a/0", "s3://a/9"), (2, 10, "s3://b/0", "s3://b/9"), (3, 10, "s3://c/0", "s3://c/9")]
    )
    assert order.of_page(12, 5, backwards=False) == ([2], 10, 2)
    assert order.of_page(18, 5, backwards=False) == ([2, 3], 20, 8)
    assert order.of_page(0, 10, backwards=True) == ([3], 10, 0)
