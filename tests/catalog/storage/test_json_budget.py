"""Datasets that are read in parallel hold so much JSON together, and no more"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dservercore.catalog.storage.index_reads import Read, in_batches, in_parallel
from dservercore.catalog.storage.json_budget import JsonBudget
from dservercore.catalog.storage.storage_limits import parsed


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize(
    "sizes", [[1000] * 40, [10] * 20 + [1000] * 20, [10_000] * 8, [10, 10_000, 1000] * 6]
)
def test_what_waits_and_is_in_a_batch_is_limited_together(pool: ThreadPoolExecutor, sizes: list[int]) -> None:
    held, most, lock = 0, 0, threading.Lock()

    def read(name: str) -> Read:
        nonlocal held, most
        size = sizes[int(name)]
        parsed("[" + " " * (size - 2) + "]", name)
        with lock:
            held += size
            most = max(most, held)
        return Read(name)

    budget = JsonBudget(3000)
    numbers = [str(number) for number in range(len(sizes))]
    read_numbers = []
    for batch in in_batches(in_parallel(read, numbers, pool, 16, budget), budget):
        read_numbers += [one.uri for one in batch]
        with lock:
            held -= sum(sizes[int(one.uri)] for one in batch)
    assert read_numbers == numbers
    assert most <= 3000 + max(sizes)  # of the first, which need not wait


def test_whoever_waits_is_told_of_an_interruption(pool: ThreadPoolExecutor) -> None:
    budget = JsonBudget(10)

    def read(number: int) -> None:
        with budget.reading(number):
            parsed("[         ]", "a file")

    read(0)
    waiting = pool.submit(read, 1)
    while not budget.is_short:
        pass
    budget.close()
    with pytest.raises(InterruptedError):
        waiting.result(timeout=5)


def test_nothing_else_waits() -> None:
    assert parsed(f"[{' ' * 1000}]", "a file") == []
