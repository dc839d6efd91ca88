"""Datasets on disk are read as dtoolcore reads them, and no change of what is registered goes unseen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
from dtoolcore.storagebroker import DiskStorageBroker

from dservercore.catalog.storage.access import is_gone, reason
from dservercore.catalog.storage.disk import DiskBase
from dservercore.catalog.storage.storage_limits import Limits
from dservercore.dataset.document import generate_dataset_info
from dservercore.settings.configuration import with_defaults

Change = Callable[[Path], object]


def make(base: Path, name: str = "beans") -> Path:
    """Return the directory of a dataset with items, tags and annotations."""
    item = base.parent / "pods.csv"
    item.write_text("pods,weight\n3,12.5\n")
    with dtoolcore.DataSetCreator(name, f"file://{base}", "soil: loam\n", creator_username="olga") as creator:
        for place in ("pods.csv", "old/Hülsen.csv"):
            creator.put_item(str(item), place)
        creator.put_annotation("soil", "loam")
        creator.put_annotation("plot", 7)
        creator.put_tag("wet")
        creator.put_tag("raw")
    return base / name


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "base"
    base.mkdir()
    return base


@pytest.fixture
def dataset(base: Path) -> Path:
    return make(base)


def opened(base: Path) -> DiskBase:
    return DiskBase(f"file://{base}", str(base), Limits.of(with_defaults({})))


def write(name: str, content: bytes) -> Change:
    """Return what writes a file of a dataset."""
    return lambda dataset: (dataset / name).write_bytes(content)


def change_json(file: str, /, **values: Any) -> Change:
    def change(dataset: Path) -> None:
        content = json.loads((dataset / file).read_text())
        (dataset / file).write_text(json.dumps({**content, **values}))

    return change


def remove(name: str) -> Change:
    def change(dataset: Path) -> None:
        path = dataset / name
        if path.is_dir():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        else:
            path.unlink()

    return change


def link(name: str) -> Change:
    """Return what makes a file of a dataset a link to where it is now."""

    def change(dataset: Path) -> None:
        elsewhere = dataset.parent.parent / "elsewhere"
        (dataset / name).rename(elsewhere)
        (dataset / name).symlink_to(elsewhere)

    return change


def both(first: Change, second: Change) -> Change:
    return lambda dataset: (first(dataset), second(dataset))


README, ADMIN, MANIFEST = "README.yml", ".dtool/dtool", ".dtool/manifest.json"
SOIL, TAGS, ANNOTATIONS = ".dtool/annotations/soil.json", ".dtool/tags", ".dtool/annotations"

ODD: dict[str, Change] = {
    "nothing odd": lambda dataset: None,
    "an empty README": write(README, b""),
    "line ends of Windows and of old": write(README, b"a: 1\r\nb: 2\rc: 3\n"),
    "a README with a byte order mark": write(README, b"\xef\xbb\xbfa: 1\n"),
    "a README beyond the first plane": write(README, "a: 🌱 Böhnchen\u2028x\n".encode()),
    "a README with a NUL": write(README, b"a: \0"),
    "a README that is not UTF-8": write(README, b"B\xf6hnchen"),
    "no README": remove(README),
    "a README that is a link": link(README),
    "more administrative metadata": change_json(ADMIN, project="soil", created_at=1.5, nested={"a": [None]}),
    "a name that is a number": change_json(ADMIN, name=7),
    "administrative metadata that is a list": write(ADMIN, b"[]"),
    "administrative metadata with a mark": write(ADMIN, b"\xef\xbb\xbf{}"),
    "administrative metadata without a type": write(ADMIN, b'{"name": "beans"}'),
    "administrative metadata without a name": write(ADMIN, b'{"type": "dataset"}'),
    "not frozen": change_json(ADMIN, type="protodataset"),
    "another type": change_json(ADMIN, type="box"),
    "no administrative metadata": remove(ADMIN),
    "a manifest with numbers of any size": change_json(
        MANIFEST, items={"x": {"size_in_bytes": 10**30, "relpath": "x", "utc_timestamp": 1e-320}}
    ),
    "a manifest with numbers that are none": write(
        MANIFEST, b'{"items": {"x": {"size_in_bytes": NaN, "a": -Infinity, "b": -0, "c": -0.0}}}'
    ),
    "a manifest with keys given twice": write(MANIFEST, b'{"items": {"x": 1}, "items": {}, "a": 1, "a": 2}'),
    "a manifest with half a character": write(MANIFEST, b'{"items": {}, "hash_function": "\\ud83c"}'),
    "a manifest without items": write(MANIFEST, b"{}"),
    "a manifest whose items are a list": write(MANIFEST, b'{"items": []}'),
    "a manifest whose items have no size": change_json(MANIFEST, items={"x": {"relpath": "x"}}),
    "a manifest of another shape": write(MANIFEST, b"[]"),
    "a manifest that ends early": write(MANIFEST, b'{"items": '),
    "an empty manifest": write(MANIFEST, b""),
    "no manifest": remove(MANIFEST),
    "annotations of all kinds": write(SOIL, b'{"a": [1, 1.5, true, null, "\\u00e4"], "b": 123456789012345678901}'),
    "an annotation that is not JSON": write(SOIL, b"loam"),
    "an annotation with another ending": write(".dtool/annotations/depth.txt", b"1"),
    "an annotation with two endings": write(".dtool/annotations/a.b.json", b"1"),
    "an annotation with two files": write(".dtool/annotations/soil.json~", b"1"),
    "a hidden file among the annotations": write(".dtool/annotations/.DS_Store", b"1"),
    "no folder of annotations": remove(ANNOTATIONS),
    "a file in place of the annotations": both(remove(ANNOTATIONS), write(ANNOTATIONS, b"")),
    "a tag that is no tag": write(".dtool/tags/so wet", b""),
    "a folder among the tags": lambda dataset: (dataset / TAGS / "deep").mkdir(),
    "a file name that is not UTF-8": lambda dataset: open(os.fsencode(dataset / TAGS) + b"/\xf6", "w").close(),
    "no folder of tags": remove(TAGS),
    "tags that are elsewhere": link(TAGS),
    "a folder in place of the manifest": both(remove(MANIFEST), lambda dataset: (dataset / MANIFEST).mkdir()),
}  # fmt: skip


def outcome(read: Callable[[], Any]) -> str:
    """Return what was read, with the order and types of everything in it, or what was wrong."""
    try:
        return repr(read())
    except Exception as error:
        return f"{type(error).__name__}: {reason(error)}"


#: What dtoolcore reads, and is refused here, or is refused with more words.
REFUSED = {
    "a README that is a link": "UnreadableError: {}/README.yml is a link, and links are not followed here",
    "tags that are elsewhere": "UnreadableError: {}/.dtool/tags is a link, and links are not followed here",
    "administrative metadata that is a list": "UnreadableError: {}/.dtool/dtool is not as dtool writes it: it is no o",
    "administrative metadata with a mark": "UnreadableError: {}/.dtool/dtool is not as dtool writes it: it has no type",
    "administrative metadata without a type": "UnreadableError: {}/.dtool/dtool is not as dtool writes it: it has no t",
    "administrative metadata without a name": "UnreadableError: {}/.dtool/dtool is not as dtool writes it: it has no n",
    "a manifest without items": "UnreadableError: {}/.dtool/manifest.json is not as dtool writes it: it has no object ",
    "a manifest whose items are a list": "UnreadableError: {}/.dtool/manifest.json is not as dtool writes it: it has ",
    "a manifest whose items have no size": "UnreadableError: {}/.dtool/manifest.json is not as dtool writes it: its i",
    "a manifest of another shape": "UnreadableError: {}/.dtool/manifest.json is not as dtool writes it: it has no obj",
    "no administrative metadata": "FileNotFoundError: no dataset is stored as file://{}",
    "a manifest that ends early": "UnreadableError: {}/.dtool/manifest.json is not JSON: ",
    "an empty manifest": "UnreadableError: {}/.dtool/manifest.json is not JSON: ",
    "an annotation that is not JSON": "UnreadableError: {}/.dtool/annotations/soil.json is not JSON: ",
}


#: Which dtoolcore stumbles over, or takes for tags: the README that is read instead, and what the warning is about.
WARNED = {
    "a README with a byte order mark": ("a: 1\n", "{}/README.yml begins with a byte order mark"),
    "a README with a NUL": ("a: ", "{}/README.yml has NUL characters"),
    "a README that is not UTF-8": ("Böhnchen", "{}/README.yml, line 1, is not UTF-8"),
    "an annotation with another ending": (None, "{}/.dtool/annotations/depth.txt is left out"),
    "an annotation with two files": (None, "{}/.dtool/annotations/soil.json~ is left out"),
    "a hidden file among the annotations": (None, "{}/.dtool/annotations/.DS_Store is left out"),
    "a tag that is no tag": (None, "{}/.dtool/tags/so wet is left out"),
    "a folder among the tags": (None, "{}/.dtool/tags/deep is left out"),
    "a file name that is not UTF-8": (None, "{}/.dtool/tags/\udcf6 is left out"),
}


@pytest.mark.parametrize("odd", WARNED)
def test_what_dtool_has_not_written_is_left_out_or_decoded(dataset: Path, odd: str) -> None:
    uri, base_uri = f"file://{dataset}", f"file://{dataset.parent}"
    as_made = opened(dataset.parent).open_readable(uri).document(base_uri)
    ODD[odd](dataset)
    readme, warning = WARNED[odd]
    read = opened(dataset.parent).open_readable(uri)
    assert read.document(base_uri) == as_made | ({} if readme is None else {"readme": readme})
    (said,) = read.warnings
    assert said.startswith(warning.format(dataset))


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd not in WARNED])
def test_what_is_read_is_what_dtoolcore_reads(dataset: Path, odd: str) -> None:
    ODD[odd](dataset)
    uri, base_uri = f"file://{dataset}", f"file://{dataset.parent}"

    def by_dtoolcore() -> Any:
        broker = DiskStorageBroker(uri)
        admin_metadata = broker.get_admin_metadata()
        read = dtoolcore.DataSet(uri, admin_metadata)
        return str(admin_metadata["name"]), generate_dataset_info(read, base_uri)

    def here() -> Any:
        read = opened(dataset.parent).open_readable(uri)
        return read.name, read.document(base_uri)

    if odd in REFUSED:
        assert outcome(here).startswith(REFUSED[odd].format(dataset))
    else:
        assert outcome(here) == outcome(by_dtoolcore)


def test_what_is_read_is_what_is_there(dataset: Path) -> None:
    document = opened(dataset.parent).open_readable(f"file://{dataset}").document(f"file://{dataset.parent}")
    assert (document["name"], document["readme"], document["tags"]) == (
        "beans",
        "soil: loam\n",
        ["raw", "wet"],
    )
    assert document["annotations"] == {"soil": "loam", "plot": 7}
    assert (document["number_of_items"], document["size_in_bytes"]) == (2, 38)


def test_what_is_listed_is_what_dtoolcore_lists_and_what_looks_like_a_dataset(base: Path) -> None:
    """Opening the latter tells what is wrong with it, where dtoolcore says nothing."""
    for name in ("beans", "peas"):
        make(base, name)
    dtoolcore.create_proto_dataset("draft", f"file://{base}", "", creator_username="olga")
    (base / "beans").rename(base / "Grüne Bohnen 🌱")
    (base / "linked").symlink_to(base / "peas")
    (base / "nowhere").symlink_to(base / "none")
    (base / "itself").symlink_to(base / "itself")
    (base / "empty").mkdir()
    (base / "file").write_text("")
    (base / "odd" / ".dtool" / "dtool").mkdir(parents=True)
    (base / "pipe" / ".dtool").mkdir(parents=True)
    os.mkfifo(base / "pipe" / ".dtool" / "dtool")
    (base / "astray").mkdir()
    (base / "astray" / ".dtool").symlink_to(base / "none")
    by_dtoolcore = DiskStorageBroker.list_dataset_uris(f"file://{base}", None)
    listed = {uri.rsplit("/", 1)[1] for uri in by_dtoolcore}
    assert listed == {"Grüne Bohnen 🌱", "peas", "draft", "linked"}
    names = listed | {"odd", "pipe", "astray"}
    assert sorted(opened(base).list_uris()) == sorted(f"file://{base}/{name}" for name in names)


CHANGES: dict[str, Change] = {
    "README": write(README, b"soil: clay\n"),
    "administrative metadata": change_json(ADMIN, name="other"),
    "manifest": change_json(MANIFEST, items={}),
    "an annotation": write(SOIL, b'"clay"'),
    "an annotation more": write(".dtool/annotations/depth.json", b"1"),
    "an annotation less": remove(SOIL),
    "a tag more": write(".dtool/tags/dry", b""),
    "a tag less": remove(".dtool/tags/wet"),
    "another name of a tag": lambda dataset: (dataset / TAGS / "wet").rename(dataset / TAGS / "dry"),
    "another name of an annotation": lambda dataset: (dataset / SOIL).rename(dataset / ANNOTATIONS / "x.json"),
    "a tag that becomes no tag": lambda dataset: (dataset / TAGS / "wet").write_text("soaked"),
    "a tag that becomes an annotation": lambda dataset: (dataset / TAGS / "wet").rename(dataset / ANNOTATIONS / "wet"),
    "no README": remove(README),
    "no tags": remove(TAGS),
    "the same size, a nanosecond later": lambda dataset: later(dataset / README),
    "another file of the same size at the end of a link": both(link(README), lambda dataset: later(dataset / README)),
}  # fmt: skip


def later(file: Path) -> None:
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(dataset: Path, change: str) -> None:
    before = opened(dataset.parent).fingerprint(f"file://{dataset}")
    CHANGES[change](dataset)
    assert opened(dataset.parent).fingerprint(f"file://{dataset}") != before


def test_the_items_are_not_looked_at(dataset: Path) -> None:
    before = opened(dataset.parent).fingerprint(f"file://{dataset}")
    (dataset / "data" / "pods.csv").write_text("")
    later(dataset / ".dtool" / "structure.json")
    assert opened(dataset.parent).fingerprint(f"file://{dataset}") == before


def test_what_dtool_has_not_written_is_not_looked_at(dataset: Path) -> None:
    before = opened(dataset.parent).fingerprint(f"file://{dataset}")
    for file in ("annotations/.DS_Store", "annotations/soil (1).json", "tags/beans~", "tags/Thumbs.db"):
        (dataset / ".dtool" / file).write_text("x")
    (dataset / TAGS / "@eaDir").mkdir()
    assert opened(dataset.parent).fingerprint(f"file://{dataset}") == before


def test_a_dataset_that_cannot_be_looked_at_is_not_gone(dataset: Path) -> None:
    uri = f"file://{dataset}"
    assert not is_gone(opened(dataset.parent), uri)
    (dataset / ".dtool").rename(dataset / "moved")
    assert is_gone(opened(dataset.parent), uri)
    (dataset / ".dtool").symlink_to(dataset / ".dtool")
    assert not is_gone(opened(dataset.parent), uri)
