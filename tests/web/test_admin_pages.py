"""The pages of the administration: each act of theirs, who may do it, and what names may look like."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from dservercore import sql_db
from dservercore.catalog import audit, base_uris, groups, jobs, personal_tokens, sessions, users
from dservercore.catalog.storage.index_runs import IndexRun
from dservercore.dataset.times import utcnow
from dservercore.models import BaseURI, Job, User
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED
from web.admin_pages import Browser, links_of, text_of

pytestmark = pytest.mark.attack

LAB = "lab"
RED_PAGE, BLUE_PAGE = "/admin/base-uris/s3/red", "/admin/base-uris/s3/blue"


@pytest.fixture
def app(app: Flask, people: None) -> Flask:
    with app.app_context():
        groups.add_group(LAB)
        groups.add_member(LAB, READER)
        sql_db.session.commit()
    return app


@pytest.fixture
def ada(app: Flask) -> Browser:
    """An administrator at a browser."""
    return Browser(app, ADMIN)


def last_act(app: Flask) -> dict[str, Any]:
    with app.app_context():
        return audit.list_records(page=slice(0, 1))[0][0]


def objects(app: Flask) -> Any:
    """Return what users, groups and base URIs there are, with what is granted."""
    with app.app_context():
        return users.list_users()[0], groups.list_groups()[0], base_uris.list_base_uris()[0]


class TestWhoMay:
    """Administrators alone, with a page of their own session."""

    def routes(self, app: Flask, method: str) -> list[str]:
        named = {"username": CHAMPION, "group": LAB, "base_uri": "s3/red"}
        rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/admin")]
        paths = [
            re.sub(r"<(?:\w+:)?(\w+)>", lambda name: named[name[1]], rule.rule)
            for rule in rules
            if method in (rule.methods or ())
        ]
        assert len(paths) > 5
        return paths

    def test_nobody_else_sees_a_page(self, app: Flask) -> None:
        other, visitor = Browser(app, CHAMPION), app.test_client()
        for path in self.routes(app, "GET"):
            assert "Only an administrator may do this" in other.open(path)
            assert other.page.status_code == 403
            answer = visitor.get(path)
            assert (answer.status_code, answer.location) == (303, f"/sign-in?next={path.replace('/', '%2F')}")

    def test_nobody_else_does_anything(self, app: Flask) -> None:
        before, other, visitor = objects(app), Browser(app, CHAMPION), app.test_client()
        other.open("/account")
        acts = ("add", "delete", "admin", "join", "grant", "public")
        for path in self.routes(app, "POST"):
            for act in acts:
                fields = {"act": act, "username": "mallory", "group": LAB, "base_uri": RED, "to": CHAMPION}
                fields |= {"kind": "search", "csrf_token": other.token()}
                assert other.client.post(path, data=fields).status_code == 403
                assert visitor.post(path, data=fields).status_code == 303
        assert objects(app) == before

    def test_no_form_of_another_page_does_anything(self, app: Flask, ada: Browser) -> None:
        ada.open("/admin/users")
        good, before = ada.token(), objects(app)
        stranger = Browser(app, ADMIN)
        stranger.open("/admin/users")
        for path in self.routes(app, "POST"):
            for act in ("add", "delete", "admin", "no_admin", "grant", "public", "link", "revoke_all"):
                fields = {"act": act, "username": "mallory", "group": "mob", "base_uri": "s3://m"}
                fields |= {"to": NOBODY, "kind": "search", "with_datasets": "1", "name": RED}
                for token in ({}, {"csrf_token": "x"}, {"csrf_token": stranger.token()}):
                    answer = ada.client.post(path, data={**fields, **token})
                    assert answer.status_code == 400
                    assert "This form was open for too long" in answer.text
                cross = {"Sec-Fetch-Site": "cross-site"}
                answer = ada.client.post(path, data={**fields, "csrf_token": good}, headers=cross)
                assert answer.status_code == 400
        assert objects(app) == before

    def test_pages_are_kept_nowhere(self, app: Flask, ada: Browser) -> None:
        for path in self.routes(app, "GET"):
            ada.open(path)
            assert ada.page.status_code == 200
            assert ada.page.headers["Cache-Control"] == "no-store"
            assert "unsafe" not in ada.page.headers["Content-Security-Policy"]
            assert not re.search(r"\s(style|on\w+)=", ada.page.text)

    def test_a_button_that_is_not_there(self, app: Flask, ada: Browser) -> None:
        for path in self.routes(app, "POST"):
            answer = ada.send(path, "erase")
            assert (answer.status_code, "no such button" in answer.text) == (400, True)

    @pytest.mark.parametrize("path", ["users/ghost", "groups/ghosts", "base-uris/s3/ghost"])
    def test_what_there_is_not_is_not_found(self, ada: Browser, path: str) -> None:
        for query in ("", "?confirm=delete", "?confirm=public", "?confirm=admin"):
            assert "ghost" in ada.open(f"/admin/{path}{query}")
            assert ada.page.status_code == 404


class TestOverview:
    def test_counts_and_says_that_all_is_well(self, app: Flask, ada: Browser, register: Any) -> None:
        register(size_in_bytes=1500)
        with app.app_context():
            for base_uri in (RED, BLUE):
                IndexRun(base_uri).end(None)
        text = text_of(ada.open("/admin"))
        assert "4 users" in text
        assert "1 group " in text
        assert "2 base URIs" in text
        assert "1 dataset, 1.5 kB" in text
        assert "Nothing, as far as the server knows." in text
        assert "dserver_search_plugin_sql" in text

    def test_says_what_needs_attention(self, app: Flask, ada: Browser) -> None:
        with app.app_context():
            IndexRun(RED).end("the bucket cannot be reached")
            now = utcnow()
            job = {"kind": "mail", "payload": "1", "queued_at": now, "due_at": now, "failed_at": now}
            sql_db.session.execute(Job.__table__.insert(), {"attempts": 10, **job} | {"error": "<b>"})
            sql_db.session.commit()
            assert len(jobs.list_jobs(only_failed=True)) == 1
        text = text_of(ada.open("/admin"))
        assert "The last indexing of 1 base URI did not do all of its work" in text
        assert "1 base URI was never indexed" in text
        assert "1 job has failed too often" in text

    def test_says_which_part_is_not_ready(self, app: Flask, ada: Browser) -> None:
        with app.app_context():
            sql_db.session.execute(sql_db.text("DROP TABLE search_index"))
            sql_db.session.commit()
        text = text_of(ada.open("/admin"))
        assert "Search: the search index is missing" in text
        assert "Search not ready the search index is missing" in text


class TestUsers:
    def test_are_listed_searched_and_sorted(self, app: Flask, ada: Browser) -> None:
        with app.app_context():
            users.add_user("Zoë", display_name="Zoë Ångström")
            sql_db.session.commit()

        def names(**query: str) -> list[str]:
            page = ada.open("/admin/users", **query)
            return re.findall(r'<th scope="row"[^>]*><a [^>]*><bdi>([^<]+)</bdi>', page)

        everybody = sorted([ADMIN, CHAMPION, READER, NOBODY, "Zoë"])
        assert names() == everybody
        assert names(sort="-username") == everybody[::-1]
        assert names(sort="-is_admin")[0] == ADMIN
        assert names(containing="ZO\u00cb") == names(containing="Ångs") == ["Zoë"]
        assert names(containing="%") == []
        assert "No user has that in a name" in ada.page.text

    def test_come_in_pages(self, app: Flask, ada: Browser) -> None:
        with app.app_context():
            for number in range(60):
                users.add_user(f"user{number:02}")
            sql_db.session.commit()
        first = ada.open("/admin/users", containing="user", sort="-username")
        assert "60 users" in text_of(first)
        second = ada.open(links_of(first)["Next"])
        assert [name for name in links_of(second) if name.startswith("user")] == [
            f"user{number:02}" for number in reversed(range(10))
        ]
        assert "Page 2 of 2" in text_of(ada.open("/admin/users", containing="user", page="99"))
        for senseless in ("0", "-1", "x", "9" * 30):
            assert "Page 1 of 2" in text_of(ada.open("/admin/users", page=senseless, sort="; drop"))

    def test_are_added(self, app: Flask, ada: Browser) -> None:
        page = ada.do("/admin/users", "add", username=" olga ", display_name="Olga")
        assert "olga is registered." in text_of(page)
        assert ada.page.request.path == "/admin/users/olga"
        ada.do("/admin/users", "add", username="sequencer", is_service="1")
        assert "service account" in text_of(ada.open("/admin/users/sequencer"))
        assert last_act(app)["actor"] == ADMIN

    @pytest.mark.parametrize(
        ("name", "status", "says"),
        [
            (CHAMPION, 409, "registered already"),
            (CHAMPION.upper(), 422, "in upper and lower case alone"),
            ("a/b", 422, "must have no /"),
            ("", 422, "must have 1 to 64 characters"),
            ("x" * 65, 422, "must have 1 to 64 characters"),
            ("a\u202eb", 422, "U+202E"),
        ],
    )
    def test_with_a_bad_name_are_not_added(
        self, app: Flask, ada: Browser, name: str, status: int, says: str
    ) -> None:
        before = objects(app)
        answer = ada.send("/admin/users", "add", username=name, display_name="kept as it was typed")
        assert answer.status_code == status
        assert says in text_of(answer.text)
        assert 'value="kept as it was typed"' in answer.text
        assert objects(app) == before


class TestOneUser:
    PAGE = f"/admin/users/{READER}"

    def test_says_what_the_user_may_and_why(self, app: Flask, ada: Browser) -> None:
        with app.app_context():
            groups.grant("register", LAB, BLUE)
            base_uris.put_base_uri("s3://open", [], [], public=True)
            sql_db.session.commit()
        text = text_of(ada.open(self.PAGE))
        assert f"{RED} granted directly" in text
        assert f"Register datasets in Base URI Why Change {BLUE} {LAB}" in text
        assert "s3://open public" in text

    def test_gets_a_display_name(self, app: Flask, ada: Browser) -> None:
        assert "Rita R." in text_of(ada.do(self.PAGE, "rename", display_name="Rita R."))
        answer = ada.send(self.PAGE, "rename", display_name="a\u202eb")
        assert (answer.status_code, "U+202E" in answer.text) == (422, True)
        ada.do(self.PAGE, "rename", display_name="")
        with app.app_context():
            assert users.get_user(READER)["display_name"] is None

    def test_becomes_an_administrator_and_stays_the_last_one(self, app: Flask, ada: Browser) -> None:
        question = text_of(ada.open(self.PAGE, confirm="admin"))
        assert f"Make {READER} an administrator?" in question
        ada.do(self.PAGE, "admin")
        ada.do(f"/admin/users/{READER}", "no_admin")
        for act in ("no_admin", "delete"):
            answer = ada.send(f"/admin/users/{ADMIN}", act)
            assert (answer.status_code, "is the last administrator" in answer.text) == (409, True)

    def test_gets_a_link_once(self, app: Flask, ada: Browser) -> None:
        page = ada.send(self.PAGE, "link")
        assert page.status_code == 200
        assert page.headers["Cache-Control"] == "no-store"
        [code] = re.findall(r"http://localhost/sign-in/link\?code=([\w-]+)", page.text)
        assert code not in ada.open(self.PAGE)
        rita = app.test_client()
        token = re.findall(r'csrf_token[^>]* value="([^"]+)"', rita.get(f"/sign-in/link?code={code}").text)[0]
        rita.post("/sign-in/link", data={"csrf_token": token, "code": code})
        assert READER in rita.get("/account").text

    def test_that_is_a_program_gets_no_link(self, app: Flask, ada: Browser) -> None:
        with app.app_context():
            users.add_user("robot", is_service=True)
            sql_db.session.commit()
        assert 'value="link"' not in ada.open("/admin/users/robot")
        assert ada.send("/admin/users/robot", "link").status_code == 409

    def test_has_sessions_that_end(self, app: Flask, ada: Browser) -> None:
        rita, carl = Browser(app, READER), Browser(app, CHAMPION)
        page = ada.open(self.PAGE)
        [number] = re.findall(r'name="session" value="(\d+)"', page)
        ada.do(f"/admin/users/{CHAMPION}", "end_session", session=number)  # of somebody else
        ada.do(self.PAGE, "end_session", session="9" * 40)
        assert rita.open("/account")
        assert rita.page.status_code == 200
        ada.do(self.PAGE, "end_session", session=number)
        rita.open("/account")
        assert rita.page.status_code == 303
        carl.open("/account")
        assert carl.page.status_code == 200

    def test_loses_all_tokens_and_sessions(self, app: Flask, ada: Browser) -> None:
        rita = Browser(app, READER)
        with app.app_context():
            personal_tokens.create_token(READER, personal_tokens.Wish("robot", None), ())
            sql_db.session.commit()
        question = text_of(ada.open(self.PAGE, confirm="revoke_all"))
        assert "1 session " in question
        assert "1 personal token " in question
        ada.do(self.PAGE, "revoke_all")
        rita.open("/account")
        assert rita.page.status_code == 303
        with app.app_context():
            assert personal_tokens.list_tokens(READER) == []

    def test_is_granted_what_was_shown_before(self, app: Flask, ada: Browser) -> None:
        page = ada.open(f"/admin/users/{NOBODY}", grant="search", on=RED)
        assert f"could then search 1 more base URI: {RED}" in text_of(page)
        before = objects(app)
        fields = dict(re.findall(r'<input type="hidden" name="(kind|base_uri)" value="([^"]+)"', page))
        assert fields == {"kind": "search", "base_uri": RED}
        ada.do(f"/admin/users/{NOBODY}", "grant", **fields)
        assert objects(app) != before
        page = ada.open(f"/admin/users/{NOBODY}", revoke="search", on=RED)
        assert f"could no longer search 1 base URI: {RED}" in text_of(page)
        ada.do(f"/admin/users/{NOBODY}", "revoke", **fields)
        assert objects(app) == before
        assert last_act(app)["action"] == "revoke.search"

    def test_joins_and_leaves_groups(self, app: Flask, ada: Browser) -> None:
        with app.app_context():
            groups.grant("search", LAB, BLUE)
            sql_db.session.commit()
        page = text_of(ada.open(f"/admin/users/{NOBODY}", member_of=LAB))
        assert f"could then search 1 more base URI: {BLUE}" in page
        assert f"{NOBODY} is a member of {LAB}." in text_of(
            ada.do(f"/admin/users/{NOBODY}", "join", group=LAB)
        )
        ada.do(f"/admin/users/{NOBODY}", "leave", group=LAB)
        with app.app_context():
            assert groups.get_group(LAB)["members"] == [READER]

    @pytest.mark.parametrize(
        "query",
        [
            {"grant": "search", "on": "s3://ghost"},
            {"grant": "everything", "on": RED},
            {"member_of": "ghosts"},
        ],
    )
    def test_what_makes_no_sense_is_said(self, ada: Browser, query: dict[str, str]) -> None:
        page = ada.open(self.PAGE, **query)
        assert ada.page.status_code == 422
        assert 'role="alert"' in page
        assert "What this would change" not in page

    def test_grants_that_are_refused_say_why(self, ada: Browser) -> None:
        answer = ada.send(self.PAGE, "grant", kind="search", base_uri=RED)
        assert (answer.status_code, "already has search" in answer.text) == (409, True)
        assert ada.send(self.PAGE, "grant", kind="search", base_uri="s3://ghost").status_code == 404
        assert ada.send(self.PAGE, "grant", kind="all", base_uri=RED).status_code == 422

    def test_is_deleted_with_what_was_said(self, app: Flask, ada: Browser) -> None:
        Browser(app, READER)
        text = text_of(ada.open(self.PAGE, confirm="delete"))
        for says in ("on 2 base URIs", "on 0 base URIs", "membership in 1 group ", "1 session "):
            assert says in text
        page = ada.do(self.PAGE, "delete", page=f"{self.PAGE}?confirm=delete")
        assert f"{READER} is deleted." in text_of(page)
        assert ada.page.request.path == "/admin/users"
        with app.app_context():
            assert not users.registered([READER])

    def test_says_who_signs_the_user_in(self, app: Flask, ada: Browser) -> None:
        with app.app_context():
            user = sql_db.session.query(User).filter_by(username=READER).one()
            user.source, user.source_key = "oidc:keycloak", "0a1b<2c>"
            sql_db.session.commit()
        assert "oidc:keycloak , which knows the user as 0a1b<2c>" in text_of(ada.open(self.PAGE))


class TestGroups:
    PAGE = f"/admin/groups/{LAB}"

    def test_are_added_listed_and_deleted(self, app: Flask, ada: Browser) -> None:
        ada.do("/admin/groups", "add", group="Imaging")
        assert "Imaging" in links_of(ada.open("/admin/groups", containing="IMAG"))
        assert LAB not in links_of(ada.page.text)
        answer = ada.send("/admin/groups", "add", group="imaging")
        assert (answer.status_code, "upper and lower case" in answer.text) == (422, True)
        assert ada.send("/admin/groups", "add", group="Imaging").status_code == 409
        question = text_of(ada.open(self.PAGE, confirm="delete"))
        assert "1 member loses at once" in question
        ada.do(self.PAGE, "delete", page=f"{self.PAGE}?confirm=delete")
        with app.app_context():
            assert [one["group"] for one in groups.list_groups()[0]] == ["Imaging"]

    def test_get_and_lose_members_and_permissions(self, app: Flask, ada: Browser) -> None:
        before = objects(app)
        page = ada.open(self.PAGE, grant="register", on=RED)
        assert f"1 more user could then register in it: {READER}" in text_of(page)
        ada.do(self.PAGE, "grant", kind="register", base_uri=RED)
        page = ada.open(self.PAGE, member=NOBODY)
        assert f"could then register in 1 more base URI: {RED}" in text_of(page)
        ada.do(self.PAGE, "join", username=NOBODY)
        page = ada.open(self.PAGE, revoke="register", on=RED)
        assert f"2 users could no longer register in it: {NOBODY} {READER}" in text_of(page)
        ada.do(self.PAGE, "revoke", kind="register", base_uri=RED)
        ada.do(self.PAGE, "leave", username=NOBODY)
        assert objects(app) == before

    def test_refusals_say_why(self, ada: Browser) -> None:
        assert ada.send(self.PAGE, "join", username="ghost").status_code == 404
        assert ada.send(self.PAGE, "grant", kind="search", base_uri="s3://ghost").status_code == 404
        ada.open(self.PAGE, member="ghost")
        assert ada.page.status_code == 422


class TestBaseURIs:
    def test_are_listed_with_figures_and_the_last_run(self, app: Flask, ada: Browser, register: Any) -> None:
        register(size_in_bytes=2_500_000)
        with app.app_context():
            run = IndexRun(BLUE)
            run.count("failed")
            run.end(None)
        text = text_of(ada.open("/admin/base-uris"))
        assert re.search(rf"{BLUE} 0 0 B .* 1 failed .*{RED} 1 2\.5 MB never", text)

        def order(**query: str) -> list[str]:
            return re.findall(r"<bdi>(s3://[^<]+)</bdi>", ada.open("/admin/base-uris", **query))

        assert order() == [BLUE, RED]
        assert order(sort="-number_of_datasets") == order(sort="-size_in_bytes") == [RED, BLUE]
        assert order(sort="-last_indexed") == [BLUE, RED]
        assert order(sort="last_indexed") == [RED, BLUE]
        assert order(containing="S3://R") == [RED]

    def test_are_added(self, app: Flask, ada: Browser) -> None:
        ada.do("/admin/base-uris", "add", base_uri=" s3://green/ ")
        assert ada.page.request.path == "/admin/base-uris/s3/green"
        for base_uri, status in ((RED, 409), ("green", 422), ("s3://a?b", 422), ("", 422)):
            answer = ada.send("/admin/base-uris", "add", base_uri=base_uri)
            assert (answer.status_code, 'role="alert"' in answer.text) == (status, True)

    def test_grants_are_shown_before_they_are_made(self, app: Flask, ada: Browser, register: Any) -> None:
        register(size_in_bytes=1000)
        with app.app_context():
            groups.add_member(LAB, NOBODY)
            sql_db.session.commit()
        before = objects(app)
        page = text_of(ada.open(RED_PAGE, grant="search", to=f"group/{LAB}"))
        assert f"1 user could then find and read 1 dataset (1 kB): {NOBODY}" in page
        ada.do(RED_PAGE, "grant", kind="search", to=f"group/{LAB}")
        page = text_of(ada.open(RED_PAGE, grant="register", to=READER))
        assert f"1 user could then add, change and delete datasets here: {READER}" in page
        ada.do(RED_PAGE, "grant", kind="register", to=READER)
        page = text_of(ada.open(RED_PAGE, revoke="search", to=READER))
        assert "Nobody could do less than now" in page
        page = text_of(ada.open(RED_PAGE, revoke="search", to=f"group/{LAB}"))
        assert f"1 user could no longer find 1 dataset (1 kB): {NOBODY}" in page
        ada.do(RED_PAGE, "revoke", kind="register", to=READER)
        ada.do(RED_PAGE, "revoke", kind="search", to=f"group/{LAB}")
        assert objects(app) == before

    def test_grants_that_make_no_sense(self, ada: Browser) -> None:
        for to, says in (("ghost", "ghost"), ("group/ghosts", "ghosts"), ("", "not registered")):
            page = ada.open(RED_PAGE, grant="search", to=to)
            assert (ada.page.status_code, says in page) == (422, True)
            answer = ada.send(RED_PAGE, "grant", kind="search", to=to)
            assert (answer.status_code, says in answer.text) == (404, True)
        assert ada.send(RED_PAGE, "grant", kind="search", to=READER).status_code == 409

    def test_grants_are_found_by_name(self, ada: Browser) -> None:
        page = ada.open(RED_PAGE, containing=READER.upper())
        assert f"Revoke “search” from {READER}" in page
        assert f"from {CHAMPION}" not in page

    def test_are_opened_and_closed_after_a_question(self, app: Flask, ada: Browser, register: Any) -> None:
        register(size_in_bytes=1000)
        question = text_of(ada.open(RED_PAGE, confirm="public"))
        assert "1 dataset (1 kB)" in question
        assert "So far 2 users may search it" in question
        page = ada.do(RED_PAGE, "public", page=f"{RED_PAGE}?confirm=public")
        assert "yes, public" in page
        assert app.test_client().get("/uris").status_code == 200
        question = text_of(ada.open(RED_PAGE, confirm="private"))
        assert "1 dataset will then be found by 2 users alone" in question
        ada.do(RED_PAGE, "private")
        assert app.test_client().get("/uris").status_code == 401
        assert last_act(app)["details"] == {"public": [True, False]}

    def test_with_datasets_are_deleted_by_who_types_their_name(
        self, app: Flask, ada: Browser, register: Any
    ) -> None:
        register()
        before, confirm = objects(app), f"{RED_PAGE}?confirm=delete"
        question = text_of(ada.open(confirm))
        assert "the registration of 1 dataset" in question
        answer = ada.send(RED_PAGE, "delete", page=confirm)
        assert (answer.status_code, "still holds 1 dataset" in answer.text) == (409, True)
        for name in ("", BLUE, RED.upper()):
            answer = ada.send(RED_PAGE, "delete", page=confirm, with_datasets="1", name=name)
            assert (answer.status_code, "The name is not that of this base URI" in answer.text) == (422, True)
            assert "Delete s3://red?" in answer.text
        assert objects(app) == before
        ada.do(RED_PAGE, "delete", page=confirm, with_datasets="1", name=RED)
        ada.do(BLUE_PAGE, "delete", page=f"{BLUE_PAGE}?confirm=delete")
        assert objects(app)[2] == []

    def test_are_indexed_by_a_command_to_copy(self, app: Flask, ada: Browser) -> None:
        assert "flask base_uri index s3://red" in ada.open(RED_PAGE)
        with app.app_context():
            base_uris.add_base_uri("file://host/with blank; $(touch x)")
            sql_db.session.commit()
        text = text_of(ada.open("/admin/base-uris/file/host/with blank; $(touch x)"))
        assert "flask base_uri index 'file://host/with blank; $(touch x)'" in text


class TestAudit:
    def test_is_filtered(self, ada: Browser) -> None:
        ada.do("/admin/users", "add", username="olga")
        ada.do(f"/admin/users/{NOBODY}", "grant", kind="search", base_uri=RED)

        def acts(**query: str) -> list[str]:
            page = ada.open("/admin/audit", **query)
            assert ada.page.status_code == 200
            return re.findall(r"<code>([^<]+)</code>", page)

        assert acts(actor=ADMIN) == ["grant.search", "user.create"]
        assert acts(actor=ADMIN, sort="at") == ["user.create", "grant.search"]
        assert acts(action="grant.", actor=ADMIN) == ["grant.search"]
        assert acts(subject="olga") == ["user.create"]
        assert acts(base_uri=RED, subject=NOBODY) == ["grant.search"]
        assert acts(actor=ADMIN, since="2999-01-01") == acts(actor=ADMIN, until="1999-01-01") == []
        assert "No such acts on record" in ada.page.text
        assert acts(actor=ADMIN, since="1999-01-01", until="2999-01-01") == ["grant.search", "user.create"]

    def test_times_that_are_none_are_said(self, ada: Browser) -> None:
        page = ada.open("/admin/audit", since="yesterday")
        assert (ada.page.status_code, "Not a time" in page) == (422, True)
        assert 'value="yesterday"' in page

    def test_comes_in_pages_that_keep_the_filter(self, app: Flask, ada: Browser) -> None:
        with app.app_context():
            for number in range(60):
                groups.add_group(f"group{number}")
            sql_db.session.commit()
        first = ada.open("/admin/audit", action="group.create")
        assert "61 acts" in text_of(first)
        assert "61 acts" in text_of(ada.open(links_of(first)["Next"]))
        assert len(re.findall("<code>group.create</code>", ada.page.text)) == 11


#: What names may be like: markup, text from right to left, signs that mean something in an address, and long ones.
NAMES = [
    "<script>alert(1)<",
    "\"'><img src=x onerror=y>",
    "مستخدم",
    "a?b#c",
    "a%2Fb",
    "a&amp;b=c;d",
    "x" * 64,
]
BASE_URIS = [
    "s3://<script>alert(1)</script>",
    "s3://b/a%2Fb",
    "s3://דלי/مجلد",
    "s3://b/?x=1#y",  # of the original server
    "s3://" + "long-" * 60,
    "s3://b/audience",
    "symlink:///srv/a b",
]


class TestHostileNames:
    @pytest.mark.parametrize("kind", ["users", "groups"])
    def test_of_users_and_groups(self, app: Flask, ada: Browser, kind: str) -> None:
        add, field = (users.add_user, "username") if kind == "users" else (groups.add_group, "group")
        names = [name for name in NAMES if "/" not in name]
        with app.app_context():
            for name in names:
                add(name)
            sql_db.session.commit()
        links = links_of(ada.open(f"/admin/{kind}"))
        assert field in ada.page.text
        for name in names:
            page = ada.open(links[name])
            assert ada.page.status_code == 200
            assert f" {name} " in text_of(page)
            assert "<script>alert" not in page
            assert "<img" not in page
            page = ada.do(links[name], "grant", kind="search", base_uri=RED)
            assert RED in links_of(page)
            assert name in links_of(ada.open(RED_PAGE))
            to = name if kind == "users" else f"group/{name}"
            assert to in text_of(ada.open(RED_PAGE, revoke="search", to=to))
            ada.open(links[name], confirm="delete")
            assert name in text_of(ada.page.text)
            ada.do(links[name], "delete")
        assert not set(names) & links_of(ada.open(f"/admin/{kind}")).keys()

    def test_of_base_uris(self, app: Flask, ada: Browser) -> None:
        with app.app_context():
            for base_uri in BASE_URIS:
                sql_db.session.add(BaseURI(base_uri=base_uri))
            sql_db.session.commit()
        links = links_of(ada.open("/admin/base-uris"))
        for base_uri in BASE_URIS:
            page = ada.open(links[base_uri])
            assert ada.page.status_code == 200
            assert f" {base_uri} " in text_of(page)
            assert "<script>alert" not in page
            ada.do(links[base_uri], "grant", kind="search", to=NOBODY)
            assert links_of(ada.open(f"/admin/users/{NOBODY}"))[base_uri] == links[base_uri]
            ada.open(links[base_uri], confirm="delete")
            ada.do(links[base_uri], "delete")
        assert not set(BASE_URIS) & links_of(ada.open("/admin/base-uris")).keys()

    def test_in_the_record(self, app: Flask, ada: Browser) -> None:
        with app.app_context():
            users.add_user("<script>alert(1)<", display_name="</td><script>x")
            sql_db.session.commit()
        page = ada.open("/admin/audit", subject="<script>alert(1)<")
        assert "<script>alert" not in page
        assert "<script>x" not in page
        assert "display_name </td><script>x" in text_of(page)

    def test_typed_into_a_search(self, ada: Browser) -> None:
        for path in ("/admin/users", "/admin/groups", "/admin/base-uris", RED_PAGE):
            page = ada.open(path, containing='"><script>alert(1)</script>')
            assert ada.page.status_code == 200
            assert "<script>alert" not in page


def test_many_users_cost_few_statements(app: Flask, ada: Browser) -> None:
    with app.app_context():
        for number in range(100):
            users.add_user(f"user{number:03}")
        sessions.prune(sessions.Limits(10**9, 10**9))
        sql_db.session.commit()

    def statements(path: str) -> int:
        counted = []
        with app.app_context():
            engine = sql_db.engine
        sql_db.event.listen(engine, "before_cursor_execute", lambda *_args: counted.append(1))
        ada.open(path)
        return len(counted)

    assert statements("/admin/users") < 15


class TestPrice:
    """What storage in a base URI costs."""

    PAGE = "/admin/base-uris/s3/red"

    def price(self, app: Flask) -> tuple[Any, Any]:
        with app.app_context():
            about = base_uris.get_base_uri(RED)
        return about.get("price_per_tb"), about.get("currency")

    def test_is_set_and_taken_away(self, app: Flask, ada: Browser) -> None:
        assert "has a price now" in ada.do(self.PAGE, "price", price_per_tb=" 45.50 ", currency="eur")
        assert self.price(app) == ("45.5", "EUR")
        assert 'value="45.5"' in ada.open(self.PAGE)
        assert "has no price now" in ada.do(self.PAGE, "price", price_per_tb="", currency="EUR")
        assert self.price(app) == (None, None)

    @pytest.mark.parametrize(
        ("price", "currency", "field"),
        [
            ("cheap", "EUR", "price_per_tb"),
            ("-1", "EUR", "price_per_tb"),
            ("45", "", "currency"),
            ("45", "euros", "currency"),
        ],
    )
    def test_that_is_none_is_refused_and_what_was_typed_is_kept(
        self, app: Flask, ada: Browser, price: str, currency: str, field: str
    ) -> None:
        answer = ada.send(self.PAGE, "price", price_per_tb=price, currency=currency)
        assert answer.status_code == 422
        assert field in answer.text
        assert f'value="{price}"' in answer.text
        assert self.price(app) == (None, None)


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        (RED_PAGE, {"grant": "register", "to": "nobody.knows"}, "to"),
        (f"/admin/users/{READER}", {"grant": "register", "on": "s3://nowhere"}, "on"),
        (f"/admin/users/{READER}", {"member_of": "no-such"}, "member_of"),
        (f"/admin/groups/{LAB}", {"grant": "register", "on": "s3://nowhere"}, "on"),
        (f"/admin/groups/{LAB}", {"member": "nobody.knows"}, "member"),
    ],
    ids=["on a base URI", "to a user", "into a group", "to a group", "as a member"],
)
def test_what_cannot_be_previewed_stays_typed_and_is_tied_to_what_is_wrong(
    ada: Browser, path: str, query: dict[str, str], field: str
) -> None:
    page = ada.open(path, **query)
    assert ada.page.status_code in (404, 422)
    [shown] = re.findall(rf'<input id="{field}"[^>]*>', page)
    assert f'value="{query[field]}"' in shown
    assert 'aria-invalid="true" aria-describedby="problem' in shown
    assert 'id="problem"' in page
    if "grant" in query:
        assert '<option value="register" selected>' in page
