"""Real datasets in storage, made by dtoolcore itself: 10 small items, a README of 0.8 kB, annotations and a tag."""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import dtoolcore

from benchmarks import report
from benchmarks.workload import Workload

ITEMS = 10
PROCESSES = 2
AT_ONCE = 50


def make_on_disk(folder: Path, number: int, seed: int) -> str:
    """Return the base URI of a folder with so many datasets, made unless they are there."""
    complete = folder.with_suffix(".complete")
    if not complete.exists():
        report.say(f"Making {number:,} datasets in {folder} ...")
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        make(f"file://{folder}", number, seed, folder.with_suffix(".item"))
        complete.touch()
    return f"file://{folder}"


def make(base_uri: str, number: int, seed: int, item: Path) -> None:
    """Make datasets in a base URI, whose items have the content of a small file *item*."""
    item.write_text("pods,weight\n" + "3,12.5\n" * 20)
    shares = [range(start, min(start + AT_ONCE, number)) for start in range(0, number, AT_ONCE)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        list(pool.map(partial(_make_some, base_uri, Workload(number, seed), item), shares))


def _make_some(base_uri: str, workload: Workload, item: Path, numbers: range) -> None:
    for number in numbers:
        document = workload.document(number)
        creator = dtoolcore.DataSetCreator(
            f"dataset-{number}", base_uri, document["readme"], document["creator_username"]
        )
        with creator:
            for place in range(ITEMS):
                creator.put_item(str(item), f"pods/{place:02d}.csv")
            for name, value in document["annotations"].items():
                creator.proto_dataset.put_annotation(name, value)
            for tag in document["tags"]:
                creator.proto_dataset.put_tag(tag)
