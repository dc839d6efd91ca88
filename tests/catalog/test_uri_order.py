"""Finding a page by counting finds what sorting everything finds."""

from __future__ import annotations

import random

import pytest

from dservercore.catalog.uri_order import URIOrder

APART = {"s3://b": 3, "s3://a": 4, "s3://a-b": 2, "s3://a0": 1, "s3://empty": 0, "file://x": 5}
NESTED = {"s3://a": 4, "s3://a/b": 3, "s3://c": 2}


def page_by_sorting(datasets, offset, limit, backwards):
    return sorted(datasets, reverse=backwards)[offset : offset + limit]


@pytest.mark.parametrize("numbers", [APART, NESTED, {}, {"s3://a": 1}])
@pytest.mark.parametrize("backwards", [False, True])
def test_every_page(numbers, backwards):
    keys = dict(zip(numbers, random.Random(1).sample(range(100), len(numbers)), strict=True))
    datasets = {f"{base}/{n:04d}": keys[base] for base, number in numbers.items() for n in range(number)}
    order = URIOrder.of([(base, keys[base], number) for base, number in numbers.items()])
    assert order.total == len(datasets)
    for limit in (1, 2, 3, 7, 100):
        for offset in range(len(datasets)):
            ids, number, within = order.of_page(offset, limit, backwards)
            touched = [uri for uri, key in datasets.items() if key in ids]
            assert number == len(touched)
            found = page_by_sorting(touched, within, limit, backwards)
            assert found == page_by_sorting(datasets, offset, limit, backwards)


def test_leaves_out_what_the_page_cannot_touch():
    order = URIOrder.of([("s3://a", 1, 10), ("s3://b", 2, 10), ("s3://c", 3, 10)])
    assert order.of_page(12, 5, backwards=False) == ([2], 10, 2)
    assert order.of_page(18, 5, backwards=False) == ([2, 3], 20, 8)
    assert order.of_page(0, 10, backwards=True) == ([3], 10, 0)
