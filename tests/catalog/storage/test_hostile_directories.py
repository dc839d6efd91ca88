"""Whoever can write into a base directory makes the server read, wait for or write nothing of the machine."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dtoolcore
import pytest

from dservercore.catalog.storage.access import is_gone, reason
from dservercore.catalog.storage.disk import DiskBase
from dservercore.catalog.storage.storage_limits import MAX_JSON_VALUES, Limit, Limits

pytestmark = pytest.mark.attack

SECRET = "-----BEGIN RSA PRIVATE KEY----- of the server"
SMALL = Limits(
    readme=Limit(1000, "DSERVER_MAX_README_LENGTH"),
    manifest=Limit(2**26, "DSERVER_MAX_MANIFEST_BYTES"),
    annotation=Limit(1000, "DSERVER_MAX_ANNOTATIONS_LENGTH"),
    tags=50,
    annotations=50,
)
FILES = [
    "README.yml",
    ".dtool/dtool",
    ".dtool/manifest.json",
    ".dtool/annotations/soil.json",
    ".dtool/tags/wet",
]
FOLDERS = [".dtool", ".dtool/annotations", ".dtool/tags"]


def freeze(base: Path, name: str = "beans") -> Path:
    base.mkdir(exist_ok=True)
    with dtoolcore.DataSetCreator(name, str(base), "soil: loam\n", creator_username="olga") as creator:
        creator.put_annotation("soil", "loam")
        creator.put_tag("wet")
    return base / name


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return freeze(tmp_path / "base")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder of the server with a key in it."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "jwt_key").write_text(SECRET)
    return folder / "jwt_key"


def opened(base: Path, **options: Any) -> DiskBase:
    return DiskBase(f"file://{base}", str(base), options.pop("limits", SMALL), **options)


def read(dataset: Path, **options: Any) -> dict[str, Any]:
    uri = f"file://{dataset}"
    base = opened(dataset.parent, **options)
    base.fingerprint(uri)
    return base.open_readable(uri).document(f"file://{dataset.parent}")


def refusal(dataset: Path, **options: Any) -> str:
    """Return why a dataset is not read, which takes no time and no memory."""
    started = time.monotonic()
    with pytest.raises((OSError, ValueError, KeyError, TypeError, AttributeError)) as caught:
        read(dataset, **options)
    assert time.monotonic() - started < 20
    told = reason(caught.value)
    assert SECRET not in told
    assert "\n" not in told
    return told


def edits(dataset: Path) -> Iterator[Callable[[], object]]:
    """Yield every edit of a dataset, after what is looked at before."""
    uri = f"file://{dataset}"
    for method, *arguments in (
        ("put_readme", "mine"),
        ("put_tag", "mine"),
        ("delete_tag", "wet"),
        ("put_annotation", "mine", 1),
        ("put_annotation", "soil", "mine"),
        ("delete_annotation", "soil"),
    ):

        def edit(method: str = method, arguments: list[Any] = arguments) -> None:
            editable = opened(dataset.parent).open_editable(uri)
            editable.check_edits()
            getattr(editable, method)(*arguments)

        yield edit


def everything(directory: Path) -> dict[str, Any]:
    """Return kind and content of all that is below a directory."""
    return {
        str(path.relative_to(directory)): (
            stat.S_IFMT(path.lstat().st_mode),
            path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(directory.rglob("*"))
    }


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def test_nothing_is_wrong_with_what_is_made_here(dataset: Path) -> None:
    assert read(dataset)["tags"] == ["wet"]
    for edit in edits(dataset):
        edit()
    stored = dtoolcore.DataSet.from_uri(str(dataset))
    assert (stored.get_readme_content(), stored.list_tags()) == ("mine", ["mine"])
    assert {name: stored.get_annotation(name) for name in stored.list_annotation_names()} == {"mine": 1}
    (copy,) = stored._storage_broker._list_historical_readme_keys()
    assert Path(copy).read_text() == "soil: loam\n"
    assert not [name for name in os.listdir(dataset / ".dtool") if "dserver" in name]


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_the_copy_of_a_readme_is_for_whom_the_readme_is(dataset: Path, mode: int) -> None:
    readme = dataset / "README.yml"
    readme.chmod(mode)
    if os.geteuid() == 0:
        os.chown(readme, 1234, 1235)
    before = readme.stat()
    opened(dataset.parent).open_editable(f"file://{dataset}").put_readme("mine")
    (copy,) = dataset.glob("README.yml-*")
    for file in (readme, copy):
        status = file.stat()
        assert (status.st_mode, status.st_uid, status.st_gid) == (
            before.st_mode,
            before.st_uid,
            before.st_gid,
        )


def test_a_new_file_is_for_nobody_else_until_it_has_its_permissions(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dataset / "README.yml").chmod(0o600)
    modes = []
    change = os.fchown
    monkeypatch.setattr(
        os,
        "fchown",
        lambda file, *owner: (modes.append(os.fstat(file).st_mode & 0o777), change(file, *owner)),
    )
    opened(dataset.parent).open_editable(f"file://{dataset}").put_readme("mine")
    assert modes == [0o600, 0o600]


class TestLinks:
    @pytest.mark.parametrize("planted", FILES)
    @pytest.mark.parametrize(
        "kind", ["absolute", "relative", "to a link", "into /proc", "to itself", "to nothing"]
    )
    def test_a_file_that_is_a_link(self, dataset: Path, secret: Path, planted: str, kind: str) -> None:
        link = dataset / planted
        link.unlink()
        target = {
            "absolute": secret,
            "relative": os.path.relpath(secret, link.parent),
            "to a link": secret.with_name("other"),
            "into /proc": "/proc/self/environ",
            "to itself": link,
            "to nothing": secret.with_name("none"),
        }[kind]
        secret.with_name("other").symlink_to(secret)
        link.symlink_to(target)
        before = everything(dataset.parent.parent)
        assert refusal(dataset) == f"{link} is a link, and links are not followed here"
        if planted == ".dtool/manifest.json":  # which no edit reads
            before = everything(secret.parent)
            for edit in edits(dataset):
                edit()
            assert everything(secret.parent) == before
            return
        for edit in edits(dataset):
            with pytest.raises(ValueError, match="is a link"):
                edit()
        assert everything(dataset.parent.parent) == before

    @pytest.mark.parametrize("planted", FOLDERS)
    @pytest.mark.parametrize("inside", [True, False])
    def test_a_folder_that_is_a_link(self, dataset: Path, secret: Path, planted: str, inside: bool) -> None:
        folder = dataset / planted
        elsewhere = dataset / "elsewhere" if inside else secret.parent / "elsewhere"
        folder.rename(elsewhere)
        folder.symlink_to(elsewhere)
        before = everything(dataset.parent.parent)
        assert refusal(dataset) == f"{folder} is a link, and links are not followed here"
        for edit in edits(dataset):
            with pytest.raises(ValueError, match="is a link"):
                edit()
        assert everything(dataset.parent.parent) == before

    @pytest.mark.parametrize("target", ["../other/beans", "{}/other/beans", "peas", "../other/linked"])
    def test_a_dataset_that_is_a_link(self, tmp_path: Path, target: str) -> None:
        freeze(tmp_path / "other")
        freeze(tmp_path / "base", "peas")
        (tmp_path / "other" / "linked").symlink_to("beans")
        link = tmp_path / "base" / "beans"
        link.symlink_to(target.format(tmp_path))
        before = everything(tmp_path)
        assert f"file://{link}" in opened(link.parent).list_uris()
        assert refusal(link) == f"{link} is a link, and links are not followed here"
        for edit in edits(link):
            with pytest.raises(ValueError, match="is a link"):
                edit()
        assert everything(tmp_path) == before
        assert not is_gone(opened(link.parent), f"file://{link}")

    def test_a_dataset_that_was_moved_and_linked_has_changed(self, dataset: Path, tmp_path: Path) -> None:
        """Its files look as before, and are no longer here."""
        dataset.rename(tmp_path / "moved")
        dataset.symlink_to(tmp_path / "moved")
        with pytest.raises(ValueError, match="is a link"):
            opened(dataset.parent).fingerprint(f"file://{dataset}")

    @pytest.mark.parametrize("name", ["..", ".", "", "beans/..", "beans/../../other/beans", "/etc"])
    def test_a_uri_that_leaves_the_base_directory(self, dataset: Path, name: str) -> None:
        base = opened(dataset.parent)
        for look in (base.fingerprint, base.open_readable, base.is_gone):
            with pytest.raises(OSError, match=r"Not the name of a file|Not a directory|no dataset"):
                look(f"file://{dataset.parent}/{name}")

    def test_a_base_directory_behind_a_link(self, dataset: Path, tmp_path: Path) -> None:
        """The administrator has registered it so."""
        (tmp_path / "mounted").symlink_to(tmp_path / "base")
        assert read(tmp_path / "mounted" / "beans")["readme"] == "soil: loam\n"
        for edit in edits(tmp_path / "mounted" / "beans"):
            edit()
        assert (dataset / "README.yml").read_text() == "mine"

    def test_a_base_directory_inside_of_another(self, tmp_path: Path) -> None:
        """Who may write into the outer one could make the inner one lead anywhere."""
        freeze(tmp_path / "other")
        outer = tmp_path / "outer"
        freeze(outer, "peas")
        inner = outer / "inner"
        freeze(inner)
        registered = [str(outer), str(inner)]
        assert read(inner / "beans", registered=registered)["name"] == "beans"
        shutil.rmtree(inner)
        inner.symlink_to(tmp_path / "other")
        with pytest.raises(ValueError, match="inner is a link"):
            opened(inner, registered=registered)
        assert read(inner / "beans", registered=[str(inner), f"{outer}x"])["name"] == "beans"

    @pytest.mark.parametrize("spelling", ["linked", "linked/../linked", "/outer", "into/outer", "relative"])
    def test_another_spelling_of_the_outer_base_directory(self, tmp_path: Path, spelling: str) -> None:
        """It is the same directory, and who may write into it could make the inner one lead anywhere."""
        freeze(tmp_path / "other")
        outer = tmp_path / "outer"
        freeze(outer, "peas")
        freeze(outer / "inner")
        (tmp_path / "linked").symlink_to(outer)
        (tmp_path / "into").symlink_to(tmp_path)
        (tmp_path / "relative").symlink_to("./outer/../outer")
        spelled = f"{tmp_path}/{spelling}"
        # Through a link of the administrator into the outer one, too.
        (tmp_path / "inner").symlink_to(outer / "inner")
        ways = [outer / "inner", tmp_path / "linked" / "inner", tmp_path / "inner"]
        for inner in ways:
            assert read(inner / "beans", registered=[spelled, str(inner)])["name"] == "beans"
        shutil.rmtree(outer / "inner")
        (outer / "inner").symlink_to(tmp_path / "other")
        for inner in ways:
            with pytest.raises(ValueError, match="outer/inner is a link"):
                opened(inner, registered=[spelled, str(inner)])

    def test_links_without_an_end_on_the_way(self, dataset: Path, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(OSError, match="symbolic links"):
            opened(tmp_path / "a", registered=[str(dataset.parent)])


class TestHardLinks:
    @pytest.mark.parametrize("planted", FILES[:4])
    def test_to_a_file_of_the_server(self, dataset: Path, secret: Path, planted: str) -> None:
        (dataset / planted).unlink()
        os.link(secret, dataset / planted)
        told = refusal(dataset, private=[secret.parent])
        assert told == f"{dataset / planted} is also elsewhere (a hard link), as a file of somebody else"
        assert refusal(dataset, private=[secret]) == told

    @pytest.mark.skipif(os.getuid() != 0, reason="gives files away")
    def test_to_a_file_of_somebody_else(self, dataset: Path, secret: Path) -> None:
        os.chown(dataset, 1234, 1234)
        (dataset / "README.yml").unlink()
        os.link(secret, dataset / "README.yml")
        assert "a hard link" in refusal(dataset)

    def test_of_a_backup_are_read_and_stay_as_they_are(self, dataset: Path, tmp_path: Path) -> None:
        os.link(dataset / "README.yml", tmp_path / "backup")
        assert read(dataset)["readme"] == "soil: loam\n"
        for edit in edits(dataset):
            edit()
        assert (tmp_path / "backup").read_text() == "soil: loam\n"
        assert (dataset / "README.yml").read_text() == "mine"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(path.parent)  # paths of sockets are short
        listener.bind(path.name)


def folder(path: Path) -> None:
    path.mkdir()


def endless_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("makes devices")


def terminal(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(5, 2))
    except PermissionError:
        pytest.skip("makes devices")


@pytest.mark.parametrize("make", [pipe, listening_socket, folder, endless_device, terminal])
@pytest.mark.parametrize("planted", [*FILES, *FOLDERS])
def test_what_is_no_file_is_not_opened(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, planted: str, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(dataset)
    remove(dataset / planted)
    make(dataset / planted)
    # dtool takes these for none, and writes no folder where a tag or an annotation is.
    if planted in FOLDERS[1:] or (
        make is folder and planted.startswith((".dtool/tags", ".dtool/annotations"))
    ):
        assert read(dataset)["name"] == "beans"
        return
    told = refusal(dataset)
    if planted != ".dtool":
        assert str(dataset / planted) in told
        assert not is_gone(opened(dataset.parent), f"file://{dataset}")
    if planted != ".dtool":
        assert f"file://{dataset}" in opened(dataset.parent).list_uris()


BOMBS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a sparse README": ("README.yml", lambda file: os.truncate(file, 400 * 2**20), "1,000 bytes"),
    "a sparse manifest": (".dtool/manifest.json", lambda file: os.truncate(file, 2**40), "67,108,864 bytes"),
    "sparse metadata": (".dtool/dtool", lambda file: os.truncate(file, 2**32), "1,048,576 bytes"),
    "a sparse annotation": (".dtool/annotations/soil.json", lambda file: os.truncate(file, 2**32), "1,000 bytes"),
    "a README one byte too long": ("README.yml", lambda file: file.write_bytes(b"a" * 1001), "1,000 bytes"),
    "deep lists": (".dtool/manifest.json", lambda file: file.write_text("[" * 1_900_000), "nested too deeply"),
    "deep objects": (".dtool/dtool", lambda file: file.write_text('{"a":' * 10**5), "nested too deeply"),
    "a deep annotation": (".dtool/annotations/soil.json", lambda file: file.write_text("[" * 999), "soil.json"),
    "many values": (
        ".dtool/manifest.json",
        lambda file: file.write_text(f"[{'[],' * (MAX_JSON_VALUES // 2)}[]]"),
        "8,000,000 values",
    ),
    "many objects": (
        ".dtool/manifest.json",
        lambda file: file.write_text('{"items": {}, "x": [%s{}]}' % ('{"":0},' * 2_000_000)),
        "2,000,000 objects and arrays",
    ),
    "a number of many digits": (".dtool/dtool", lambda file: file.write_text("9" * 10**6), "dtool is not JSON"),
    "items that are a list": (".dtool/manifest.json", lambda file: file.write_text('{"items": [1]}'), "as dtool"),
    "items that are text": (".dtool/manifest.json", lambda file: file.write_text('{"items": "abc"}'), "as dtool"),
    "items that are numbers": (
        ".dtool/manifest.json",
        lambda file: file.write_text('{"items": {"a": 1}}'),
        "as dtool",
    ),
    "sizes that are text": (
        ".dtool/manifest.json",
        lambda file: file.write_text('{"items": {"a": {"size_in_bytes": "1"}}}'),
        "as dtool",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_one_clean_line(dataset: Path, bomb: str) -> None:
    file, make, expected = BOMBS[bomb]
    make(dataset / file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert expected in refusal(dataset)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024


@pytest.mark.parametrize("folder", ["tags", "annotations"])
def test_many_files_are_not_all_listed(dataset: Path, folder: str) -> None:
    for number in range(50):
        (dataset / ".dtool" / folder / f"x{number}.json").write_text("1")
    assert refusal(dataset) == f"{dataset}/.dtool/{folder} holds more than the 50 files that are read"


@pytest.fixture
def not_root() -> Iterator[Callable[[], object]]:
    """Become somebody for whom permissions count, as root may enter anything."""
    user = os.geteuid()
    yield lambda: os.seteuid(1234) if user == 0 else None
    os.seteuid(user)


def test_a_dataset_that_may_not_be_entered_is_there(dataset: Path, not_root: Callable[[], object]) -> None:
    shutil.copytree(dataset, dataset.parent / "peas")
    (dataset.parent / "lost+found").mkdir(mode=0)
    uri, base = f"file://{dataset}", opened(dataset.parent)
    dataset.parent.chmod(0o755)
    for closed in (dataset, dataset / ".dtool"):
        mode = closed.stat().st_mode
        closed.chmod(0)
        not_root()
        try:
            assert sorted(base.list_uris()) == [uri, f"file://{dataset.parent}/peas"]
            assert not is_gone(base, uri)
            for look in (base.fingerprint, base.open_readable):
                with pytest.raises(PermissionError) as caught:
                    look(uri)
                assert reason(caught.value).startswith(f"Permission denied: {dataset}")
        finally:
            os.seteuid(os.getuid())
            closed.chmod(mode)


def test_a_base_directory_that_may_not_be_listed_is_named(
    dataset: Path, not_root: Callable[[], object]
) -> None:
    base = opened(dataset.parent)
    dataset.parent.chmod(0o111)
    not_root()
    with pytest.raises(PermissionError) as caught:
        base.list_uris()
    assert reason(caught.value) == f"Permission denied: {dataset.parent}"


def test_annotations_are_limited_together(dataset: Path) -> None:
    for number in range(3):
        (dataset / ".dtool" / "annotations" / f"x{number}.json").write_text(json.dumps("x" * 400))
    assert "DSERVER_MAX_ANNOTATIONS_LENGTH" in refusal(dataset)


def test_a_file_that_grows_is_read_no_further(dataset: Path) -> None:
    """Its size is what it was when it was opened; somebody adds to it without an end."""
    done = threading.Event()

    def grow() -> None:
        while not done.is_set():
            (dataset / "README.yml").write_bytes(b"")
            with open(dataset / "README.yml", "ab", buffering=0) as file:
                for _ in range(20):
                    file.write(b"x" * 100)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for _ in range(500):
            with suppress(ValueError):
                assert len(read(dataset)["readme"]) <= 1000
    finally:
        done.set()
        thread.join()


def test_links_swapped_in_between(dataset: Path, secret: Path) -> None:
    """A thread swaps files and folders for links to a secret while everything is read and edited."""
    done, swaps = threading.Event(), 0
    spare = dataset.parent.parent / "spare"
    shutil.copytree(dataset, spare)
    trap = secret.parent / "trap"
    shutil.copytree(dataset, trap)
    (trap / "README.yml").write_text(SECRET)
    (trap / ".dtool" / "tags" / "secret").touch()
    before = everything(secret.parent)

    def swap() -> None:
        nonlocal swaps
        while not done.is_set():
            for name in ("README.yml", ".dtool/tags", ".dtool", "."):
                place = dataset / name if name != "." else dataset
                with suppress(OSError):
                    place.rename(spare.parent / "away")
                    place.symlink_to(trap / name)
                    place.unlink()
                with suppress(OSError):
                    (spare.parent / "away").rename(place)
                swaps += 1

    thread = threading.Thread(target=swap)
    thread.start()
    edited = 0
    try:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            with suppress(OSError, ValueError, KeyError):
                document = read(dataset)
                assert SECRET not in document["readme"]
                assert "secret" not in document["tags"]
            for edit in edits(dataset):
                with suppress(OSError, ValueError):
                    edit()
                    edited += 1
    finally:
        done.set()
        thread.join()
    assert swaps > 1000
    assert edited > 10
    assert everything(secret.parent) == before
