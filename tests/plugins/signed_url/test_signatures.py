"""URLs that are signed: for one thing, by one user, for some time, and as long as the user may."""

from __future__ import annotations

import os
import shutil
import string
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from dservercore import sql_db
from dservercore.catalog import base_uris, personal_tokens, sessions, users
from dservercore.catalog.files.tree import identifier_of
from dservercore.plugins.signed_url import signatures
from dservercore.plugins.signed_url.signatures import Claims, Holder
from support.world import CHAMPION, READER, dataset_info

from .conftest import FILES, Signed, below, freeze, index, quoted

pytestmark = pytest.mark.attack

PODS = "pods/beans.csv"
LETTERS = string.ascii_letters + string.digits + "-_"


def signature_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["signature"][0]


def with_signature(url: str, signature: str) -> str:
    return f"{urlsplit(url).path}?signature={quote(signature, safe='')}"


@pytest.fixture
def now_and_then(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the clock of the signatures."""

    def move(seconds: float) -> None:
        moment = time.time() + seconds
        monkeypatch.setattr(signatures.time, "time", lambda: moment)

    return move


class TestForged:
    def test_no_letter_can_be_another_one(self, signed: Signed) -> None:
        url = signed.item_url(PODS)
        signature = signature_of(url)
        with signed.here.app.app_context():
            for place, letter in enumerate(signature):
                others = LETTERS if place >= len(signature) - 2 else LETTERS[(place * 7) % 60 :][:3] + "."
                for other in others:
                    changed = signature[:place] + other + signature[place + 1 :]
                    if other == letter:
                        continue
                    with pytest.raises(signatures.AuthorizationError):
                        signatures.verify(changed, method="GET", purpose="read", uri=signed.uri)
            kept = signatures.verify(signature, method="GET", purpose="read", uri=signed.uri)
        assert kept.name == f"data/{PODS}"
        assert kept.holder == Holder(CHAMPION)

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "",
            lambda text: ".",
            lambda text: text.partition(".")[0],
            lambda text: text.partition(".")[2],
            lambda text: f".{text.partition('.')[2]}",
            lambda text: f"{text}.",
            lambda text: f"{text}=",
            lambda text: f" {text}",
            lambda text: f"{text}\n",
            lambda text: text + "\0",
            lambda text: text.replace(".", ".."),
            lambda text: f"{text}{text}",
            lambda text: text.swapcase(),
            lambda text: text[:-1],
            lambda text: "é" * 50,
            lambda text: "\ud800",
            lambda text: "x" * 20_000,
            lambda text: "W10.x",
        ],
    )
    def test_what_is_no_signature(self, signed: Signed, change: Callable[[str], str]) -> None:
        url = signed.item_url(PODS)
        changed = change(signature_of(url))
        path = f"{urlsplit(url).path}?signature={quote(changed.encode('utf-8', 'surrogatepass'))}"
        for method in ("GET", "HEAD"):
            assert signed.get(path, method).status_code in (403, 422)

    @pytest.mark.parametrize("query", ["", "?signature", "?signature=a&signature=b", "?Signature=x", "?x=1"])
    def test_none_at_all(self, signed: Signed, query: str) -> None:
        path = urlsplit(signed.item_url(PODS)).path
        answer = signed.get(path + query)
        assert answer.status_code == 422
        assert answer.get_json()["message"]

    def test_one_of_another_key(self, signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
        url = signed.item_url(PODS)
        monkeypatch.setattr(signed.here.app, "secret_key", "another key, that nobody knows")
        assert signed.get(url).status_code == 403

    def test_nothing_is_signed_without_a_key(self, signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
        url = signed.item_url(PODS)
        monkeypatch.setattr(signed.here.app, "secret_key", None)
        assert signed.get(url).status_code == 501
        assert signed.here.send("GET", f"/signed-urls/dataset/{quoted(signed.uri)}").status_code == 501


class TestMoved:
    def test_to_another_dataset(self, signed: Signed, tmp_path: Path) -> None:
        base = tmp_path / "other"
        base.mkdir()
        uri = freeze(base, "bean-harvest")
        index(signed.here, uri.rpartition("/")[0], CHAMPION)
        url = signed.item_url(PODS)
        theirs = signed.here.send("GET", f"/signed-urls/item/{quoted(uri)}/{identifier_of(PODS)}").get_json()[
            "url"
        ]
        assert signed.get(below(theirs)).status_code == 200
        assert signed.get(with_signature(below(theirs), signature_of(url))).status_code == 403
        assert signed.get(f"{urlsplit(url).path}/x?signature={signature_of(url)}").status_code == 403
        assert signed.get(f"{urlsplit(url).path}/?signature={signature_of(url)}").status_code in (403, 404)

    def test_to_another_route(self, signed: Signed) -> None:
        file, archive = signed.item_url(PODS), below(signed.urls()["archive_url"])
        assert signed.get(with_signature(archive, signature_of(file))).status_code == 403
        assert signed.get(with_signature(file, signature_of(archive))).status_code == 403

    @pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"])
    def test_to_another_method(self, signed: Signed, method: str) -> None:
        before = (signed.path / "data" / PODS).read_bytes()
        assert signed.get(signed.item_url(PODS), method).status_code in (200, 204, 403, 404, 405)
        assert (signed.path / "data" / PODS).read_bytes() == before
        with signed.here.app.app_context():
            claims = _claims(signed, method="PUT")
            with pytest.raises(signatures.AuthorizationError):
                signatures.verify(signatures.sign(claims), method="GET", purpose="read", uri=signed.uri)

    def test_no_part_of_it_can_be_moved_into_another_one(self, signed: Signed) -> None:
        with signed.here.app.app_context():
            text = signatures.sign(_claims(signed, uri="file:///b"))
            for uri in ("file:///b\n", "\nfile:///b", "file:///", "file:///b/"):
                with pytest.raises(signatures.AuthorizationError):
                    signatures.verify(text, method="GET", purpose="read", uri=uri)

    def test_to_another_time(self, signed: Signed, now_and_then: Callable[[float], None]) -> None:
        url = signed.item_url(PODS)
        now_and_then(3590)
        assert signed.get(url).status_code == 200
        now_and_then(3601)
        answer = signed.get(url)
        assert answer.status_code == 410
        assert "ask for another one" in answer.get_json()["message"]


def _claims(signed: Signed, **changes: Any) -> Claims:
    now = int(time.time())
    said: dict[str, Any] = {
        "method": "GET",
        "purpose": "read",
        "uri": signed.uri,
        "name": f"data/{PODS}",
        "holder": Holder(CHAMPION),
        "issued_at": now,
        "expires_at": now + 60,
    }
    return Claims(**{**said, **changes})


class TestGrantsThatEnd:
    """A URL works no longer than its user may."""

    @pytest.fixture
    def guest(self, signed: Signed) -> Iterator[str]:
        with signed.here.app.app_context():
            users.put_user("guest", {})
            base_uris.put_base_uri(signed.base_uri, [CHAMPION, READER, "guest"], [CHAMPION])
            sql_db.session.commit()
        signed.here.forget_tokens()
        yield "guest"
        with signed.here.app.app_context():
            users.delete_user("guest")
            sql_db.session.commit()

    def _refused(self, signed: Signed, *urls: str) -> None:
        for url in urls:
            answer = signed.get(url)
            assert answer.status_code == 403, answer.text
            assert "beans" not in answer.text

    def test_the_permission(self, signed: Signed, guest: str) -> None:
        urls = [signed.item_url(PODS, guest), below(signed.urls(username=guest)["archive_url"])]
        assert {signed.get(url).status_code for url in urls} == {200}
        with signed.here.app.app_context():
            base_uris.put_base_uri(signed.base_uri, [CHAMPION, READER], [CHAMPION])
            sql_db.session.commit()
        self._refused(signed, *urls)

    def test_the_user(self, signed: Signed, guest: str) -> None:
        url = signed.item_url(PODS, guest)
        with signed.here.app.app_context():
            users.delete_user(guest)
            sql_db.session.commit()
        self._refused(signed, url)
        with signed.here.app.app_context():  # somebody else of the same name
            users.put_user(guest, {})
            base_uris.put_base_uri(signed.base_uri, [CHAMPION, READER, guest], [CHAMPION])
            sql_db.session.commit()
        self._refused(signed, url)

    def test_all_tokens_of_the_user(self, signed: Signed, guest: str) -> None:
        url = signed.item_url(PODS, guest)
        with signed.here.app.app_context():
            personal_tokens.revoke_all(guest)
            sql_db.session.commit()
        self._refused(signed, url)

    def test_the_token_that_it_was_asked_for_with(self, signed: Signed, guest: str) -> None:
        with signed.here.app.app_context():
            token = personal_tokens.create_token(guest, personal_tokens.Wish("robot", 3600), ())
            sql_db.session.commit()
        bearer = {"Authorization": f"Bearer {token['token']}"}
        url = signed.item_url(PODS, guest, headers=bearer)
        own = signed.item_url(PODS, guest)
        assert signed.get(url).data == FILES[PODS]
        with signed.here.app.app_context():
            personal_tokens.delete_token(guest, token["id"])
            sql_db.session.commit()
        self._refused(signed, url)
        assert signed.get(own).status_code == 200

    def test_a_token_that_may_not_search_there(self, signed: Signed, guest: str) -> None:
        with signed.here.app.app_context():
            wish = personal_tokens.Wish("robot", 3600, ("register",))
            token = personal_tokens.create_token(guest, wish, ())
            name = f"token {token['id']}"
            sql_db.session.commit()
            text = signatures.sign(_claims(signed, holder=Holder(guest, credential=name)))
            theirs = signatures.sign(_claims(signed, holder=Holder(CHAMPION, credential=name)))
        url = signed.item_url(PODS, guest)
        self._refused(signed, with_signature(url, text), with_signature(url, theirs))

    def test_the_session_of_a_browser(self, signed: Signed, guest: str) -> None:
        with signed.here.app.app_context():
            client = sessions.Client("127.0.0.1", "test")
            secret = sessions.begin(guest, "password", client)
            sql_db.session.commit()
            session = sessions.find(secret)
            assert session
            text = signatures.sign(_claims(signed, holder=Holder(guest, session=session.id)))
        url = with_signature(signed.item_url(PODS, guest), text)
        assert signed.get(url).data == FILES[PODS]
        with signed.here.app.app_context():
            assert sessions.end_of(guest, session.id)
            sql_db.session.commit()
        self._refused(signed, url)

    def test_while_it_is_being_sent(
        self, signed: Signed, guest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        base = tmp_path / "base"
        base.mkdir()
        uri = freeze(base, "large", {"large": b"x" * 2**21})
        index(signed.here, uri.rpartition("/")[0], guest)
        urls = signed.urls(uri, guest)
        monkeypatch.setattr("dservercore.plugins.signed_url.reading.LOOK_SECONDS", 0)
        for url in (*urls["item_urls"].values(), urls["archive_url"]):
            with signed.here.app.app_context():
                base_uris.put_base_uri(uri.rpartition("/")[0], [guest], [CHAMPION])
                sql_db.session.commit()
            answer = signed.here.client.get(below(url), buffered=False)
            pieces = iter(answer.response)
            assert next(pieces)
            with signed.here.app.app_context():
                base_uris.put_base_uri(uri.rpartition("/")[0], [], [CHAMPION])
                sql_db.session.commit()
            with pytest.raises(signatures.AuthorizationError):
                list(pieces)


class TestFilesOfOthers:
    """Nothing of the machine is read that is no file of the dataset."""

    @pytest.mark.parametrize(
        "relpath",
        [
            "../../secret",
            "../.dtool/../../../secret",
            "/etc/passwd",
            "%2e%2e/%2e%2e/secret",
            "..\\..\\secret",
            "a\0b",
            "",
            ".",
            "x/" * 2000 + "x",
            "n" * 300,
        ],
    )
    def test_a_path_in_the_manifest(self, signed: Signed, tmp_path: Path, relpath: str) -> None:
        base = tmp_path / "base"
        base.mkdir()
        (tmp_path / "secret").write_text("a secret")
        base_uri = freeze(base, "more").rpartition("/")[0]
        index(signed.here, base_uri, CHAMPION)
        info = dataset_info(base_uri, uri=f"{base_uri}/more", name="more")
        (item,) = info["manifest"]["items"].values()
        item["relpath"] = relpath
        answer = signed.here.send("PUT", f"/uris/{quoted(info['uri'])}", json=info)
        assert answer.status_code in (200, 201, 422), answer.text
        if answer.status_code == 422:
            return
        urls = signed.urls(info["uri"])
        for url in urls["item_urls"].values():
            answer = signed.get(below(url))
            assert answer.status_code in (404, 422), answer.text
        with pytest.raises(Exception, match="no such file"):
            b"".join(signed.here.client.get(below(urls["archive_url"]), buffered=False).response)

    @pytest.fixture
    def moved(self, signed: Signed) -> Iterator[Path]:
        """A file of the dataset, which is put back afterwards."""
        file, kept = signed.path / "data" / PODS, signed.path / "data" / "kept"
        shutil.copy2(file, kept)
        yield file
        if file.parent.is_symlink():
            file.parent.unlink()
        if file.is_symlink() or file.exists():
            file.unlink()
        file.parent.mkdir(exist_ok=True)
        kept.rename(file)

    def test_links_pipes_and_the_like(self, signed: Signed, moved: Path, tmp_path: Path) -> None:
        url = signed.item_url(PODS)
        secret = tmp_path / "secret"
        secret.write_text("a secret")
        makers: list[Callable[[], object]] = [
            lambda: moved.symlink_to(secret),
            lambda: moved.symlink_to("../../README.yml"),
            lambda: moved.symlink_to("/dev/zero"),
            lambda: os.mkfifo(moved),
            lambda: moved.mkdir(),
            lambda: None,
        ]
        for make in makers:
            moved.unlink()
            make()
            before = time.monotonic()
            assert signed.get(url).status_code == 404
            assert time.monotonic() - before < 5
            if moved.is_dir() and not moved.is_symlink():
                moved.rmdir()
            moved.touch()

    def test_a_folder_that_has_become_a_link(self, signed: Signed, moved: Path, tmp_path: Path) -> None:
        url = signed.item_url(PODS)
        (tmp_path / moved.name).write_text("a secret")
        shutil.rmtree(moved.parent)
        moved.parent.symlink_to(tmp_path)
        assert signed.get(url).status_code == 404

    def test_a_folder_that_is_swapped_all_the_time(self, signed: Signed, moved: Path, tmp_path: Path) -> None:
        url, folder, real = signed.item_url(PODS), moved.parent, moved.parent.with_name("real")
        (tmp_path / moved.name).write_text("a secret")
        is_over = threading.Event()

        def swap() -> None:
            while not is_over.is_set():
                folder.rename(real)
                folder.symlink_to(tmp_path)
                folder.unlink()
                real.rename(folder)

        swapping = threading.Thread(target=swap)
        swapping.start()
        try:
            answers = [signed.get(url) for _ in range(300)]
        finally:
            is_over.set()
            swapping.join()
        assert {answer.status_code for answer in answers} <= {200, 404}
        assert {answer.data for answer in answers if answer.status_code == 200} <= {FILES[PODS]}
        assert not any("secret" in answer.text for answer in answers)

    def test_a_dataset_that_has_become_a_link(self, signed: Signed, tmp_path: Path) -> None:
        url, archive = signed.item_url(PODS), below(signed.urls()["archive_url"])
        away = tmp_path / "away"
        signed.path.rename(away)
        signed.path.symlink_to(away)
        try:
            for address in (url, archive):
                answer = signed.get(address)
                assert answer.status_code == 501, answer.text
                assert str(away) not in answer.text
        finally:
            signed.path.unlink()
            away.rename(signed.path)
        assert signed.get(url).data == FILES[PODS]

    def test_a_hard_link_to_a_file_of_somebody_else(
        self, signed: Signed, moved: Path, tmp_path: Path
    ) -> None:
        url = signed.item_url(PODS)
        secret = tmp_path / "secret"
        secret.write_text("a secret")
        if os.geteuid() == 0:
            os.chown(secret, 12345, 12345)
        else:
            secret = Path("/etc/hostname")
        moved.unlink()
        try:
            moved.hardlink_to(secret)
        except OSError:  # the system does not let anybody do so
            moved.touch()
            return
        assert signed.get(url).status_code == 404

    def test_files_of_the_server_itself(self, signed: Signed, moved: Path) -> None:
        url = signed.item_url(PODS)
        moved.unlink()
        moved.hardlink_to(signed.here.database)
        assert signed.get(url).status_code == 404


class TestArchivesOfTheHostile:
    def test_names_lead_nowhere_else(self) -> None:
        from dservercore.plugins.signed_url.file_names import Distinct, as_attachment, safe_path

        assert safe_path("more/data/../../x") == "more/data/_/_/x"
        assert safe_path("/etc//passwd") == "etc/passwd"
        assert safe_path("a\\..\\b\r\n\x00") == "a_.._b___"
        assert safe_path("\u202egnp.exe/\ud800") == "_gnp.exe/_"
        assert safe_path("") == "_"
        assert (
            as_attachment('a"b\r\nX: y')
            == "attachment; filename=\"a_b__X: y\"; filename*=UTF-8''a%22b__X%3A%20y"
        )
        assert len(as_attachment("é" * 10_000)) < 2000
        distinct = Distinct()
        names = [distinct.path("x") for _ in range(50_000)]
        assert len(set(names)) == 50_000
