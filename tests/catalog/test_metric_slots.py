"""The files that workers count in, as those see them who read them meanwhile."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from prometheus_client.multiprocess import MultiProcessCollector

from dservercore.catalog import metric_slots


def test_a_file_is_complete_from_the_moment_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "counter_0.db"
    is_over, seen = threading.Event(), set()

    def look_on() -> None:
        while not is_over.is_set():
            with suppress(FileNotFoundError):
                seen.add(path.stat().st_size)

    onlooker = threading.Thread(target=look_on)
    onlooker.start()
    try:
        for _ in range(300):
            path.unlink(missing_ok=True)
            metric_slots._fill(path, 2**21)
            # The library reads the number of bytes in use, which an empty file does not have.
            assert list(MultiProcessCollector(None, str(tmp_path)).collect()) == []
    finally:
        is_over.set()
        onlooker.join()
    assert seen <= {2**21}


def test_a_file_that_is_there_keeps_what_it_holds_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "counter_0.db"
    path.write_bytes(b"counted")
    metric_slots._fill(path, 64)
    assert path.read_bytes() == b"counted" + bytes(57)
    assert list(tmp_path.iterdir()) == [path]
