"""Administrative acts leave a record of who, when, what, on whom and from where; nothing else does."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from api.conftest import on_sql_alone, pagination, route, sorting
from dservercore import sql_db, utils
from dservercore.catalog import audit, base_uris, users
from dservercore.catalog.scope import OPERATOR, Actor
from dservercore.dataset.times import timestamp_to_datetime
from dservercore.sql_models import Dataset
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, dataset_info

pytestmark = on_sql_alone

# Later than any record of these tests, however long after their collection they run.
TOMORROW = time.time() + 86400


@pytest.fixture
def records(app):
    """``records()`` returns what is on record, the oldest first, but for the making of this world."""
    with app.app_context():
        made = audit.list_records()[1]

    def read():
        with app.app_context():
            found, total = audit.list_records(newest_first=False)
        assert len(found) == total
        return found[made:]

    return read


@pytest.fixture
def acts(records):
    """``acts()`` returns action, subject, base URI and details of what is on record."""
    return lambda: [(r["action"], r["subject"], r["base_uri"], r["details"]) for r in records()]


class TestWhatIsRecorded:
    def test_a_user_who_is_added_changed_and_deleted(self, admin, acts):
        admin.put("/users/eve", json={"display_name": "Eve"})
        admin.put("/users/eve", json={"is_admin": True})
        admin.patch("/users/eve", json={"display_name": None})
        admin.post("/users/eve/search/s3/red")
        admin.delete("/users/eve")
        assert acts() == [
            ("user.create", "eve", None, {"display_name": "Eve", "is_admin": False}),
            ("user.update", "eve", None, {"is_admin": [False, True]}),
            ("user.update", "eve", None, {"display_name": ["Eve", None]}),
            ("grant.search", "eve", RED, {}),
            (
                "user.delete",
                "eve",
                None,
                {
                    "display_name": None,
                    "is_admin": True,
                    "search_permissions_on_base_uris": [RED],
                    "register_permissions_on_base_uris": [],
                },
            ),
        ]

    @pytest.mark.parametrize("kind", ["search", "register"])
    def test_a_permission_that_is_granted_and_revoked(self, admin, acts, kind):
        admin.post(f"/users/nora/{kind}/s3/red")
        admin.delete(f"/users/nora/{kind}/s3/red")
        assert acts() == [(f"grant.{kind}", NOBODY, RED, {}), (f"revoke.{kind}", NOBODY, RED, {})]

    def test_a_base_uri_and_its_permissions(self, admin, acts):
        admin.put("/base-uris/s3/green", json={"users_with_search_permissions": [READER, CHAMPION]})
        admin.put(
            "/base-uris/s3/green",
            json={"users_with_search_permissions": [READER], "users_with_register_permissions": [NOBODY]},
        )
        admin.delete("/base-uris/s3/green")
        admin.post("/base-uris/s3/brown")
        assert acts() == [
            ("base_uri.create", "s3://green", "s3://green", {}),
            (
                "base_uri.permissions",
                "s3://green",
                "s3://green",
                {"search": {"granted": [CHAMPION, READER], "revoked": []}},
            ),
            (
                "base_uri.permissions",
                "s3://green",
                "s3://green",
                {
                    "search": {"granted": [], "revoked": [CHAMPION]},
                    "register": {"granted": [NOBODY], "revoked": []},
                },
            ),
            (
                "base_uri.delete",
                "s3://green",
                "s3://green",
                {"datasets": 0, "search": [READER], "register": [NOBODY]},
            ),
            ("base_uri.create", "s3://brown", "s3://brown", {}),
        ]

    def test_a_base_uri_that_is_opened_to_everybody_and_closed_again(self, admin, acts):
        for public in (True, True, False, False):
            admin.put("/base-uris/s3/red", json={"public": public})
        admin.post("/base-uris/s3/green", json={"public": True})
        admin.delete("/base-uris/s3/green")
        assert acts() == [
            ("base_uri.update", RED, RED, {"public": [False, True]}),
            ("base_uri.update", RED, RED, {"public": [True, False]}),
            ("base_uri.create", "s3://green", "s3://green", {}),
            ("base_uri.update", "s3://green", "s3://green", {"public": [False, True]}),
            (
                "base_uri.delete",
                "s3://green",
                "s3://green",
                {"datasets": 0, "public": True, "search": [], "register": []},
            ),
        ]

    def test_a_dataset_that_is_deleted(self, champion, register, acts):
        info = register()
        champion.delete(route("uris", info["uri"]))
        assert acts() == [("dataset.delete", info["uri"], RED, {"uuid": info["uuid"]})]

    def test_a_base_uri_with_its_datasets_is_one_record(self, admin, register, acts):
        for _ in range(12):
            register()
        assert admin.delete("/base-uris/s3/red?with_datasets=true").status_code == 200
        lost = {"datasets": 12, "search": [CHAMPION, READER], "register": [CHAMPION]}
        assert acts() == [("base_uri.delete", RED, RED, lost)]

    def test_who_when_and_from_where(self, admin, records):
        before = time.time()
        admin.put(
            "/users/eve",
            json={},
            headers={"X-Request-ID": "the-one"},
            environ_overrides={"REMOTE_ADDR": "2001:db8::7"},
        )
        (record,) = records()
        assert (record["actor"], record["origin"], record["request_id"]) == (ADMIN, "2001:db8::7", "the-one")
        assert before <= record["at"] <= time.time()

    def test_whom_a_later_request_of_another_is_not_mistaken_for(self, admin, champion, register, records):
        champion.delete(route("uris", register()["uri"]))
        admin.put("/users/eve", json={})
        assert [record["actor"] for record in records()] == [CHAMPION, ADMIN]


class TestWhatIsNot:
    def test_what_changes_nothing(self, admin, champion, acts):
        assert admin.put("/users/nora", json={}).status_code == 200
        assert admin.patch("/users/nora", json={"is_admin": None}).status_code == 200
        assert admin.delete("/users/who").status_code == 200
        assert admin.delete("/users/nora/search/s3/red").status_code == 200
        assert admin.post("/users/rita/search/s3/red").status_code == 409
        assert (
            admin.put("/base-uris/s3/blue", json={"users_with_search_permissions": [READER]}).status_code
            == 200
        )
        assert admin.delete("/base-uris/s3/none").status_code == 200
        assert champion.delete("/uris/s3/red/none").status_code == 200
        assert acts() == []

    def test_what_is_refused(self, admin, champion, nobody, anonymous, register, acts):
        info = register()
        assert nobody.put("/users/eve", json={}).status_code == 403
        assert anonymous.delete("/users/nora").status_code == 401
        assert admin.delete(f"/users/{ADMIN}").status_code == 409
        assert admin.patch(f"/users/{ADMIN}", json={"is_admin": False}).status_code == 409
        assert admin.delete("/base-uris/s3/red").status_code == 409
        assert nobody.delete(route("uris", info["uri"])).status_code == 403
        assert admin.post("/users/nora/search/s3/none").status_code == 404
        assert acts() == []

    def test_what_fails_halfway(self, admin, acts):
        answer = admin.put("/base-uris/s3/new", json={"users_with_search_permissions": ["who"]})
        assert answer.status_code == 422
        assert acts() == []

    def test_what_users_do_with_datasets_and_their_own_names(self, champion, acts):
        info = dataset_info()
        champion.put(route("uris", info["uri"]), json=info)
        champion.put(route("tags", info["uri"]), json={"tags": ["a"]})
        champion.patch("/me", json={"display_name": "Carl"})
        assert acts() == []

    def test_reading(self, admin, acts):
        for path in ("/audit", "/users", "/base-uris", "/me"):
            admin.get(path)
        assert acts() == []

    def test_an_act_that_cannot_be_recorded_does_not_happen(self, app, admin):
        with app.app_context():
            sql_db.session.execute(text("DROP TABLE audit"))
            sql_db.session.commit()
        assert admin.put("/users/eve", json={}).status_code == 503
        assert admin.get("/users/eve").status_code == 404


class TestPlugins:
    """What plugins do is recorded with the user of the request, if they are in one."""

    def test_in_a_process_of_their_own(self, app, people, records):
        with app.app_context():
            utils.register_user("eve", {})
            utils.delete_user("eve")
        assert [record["action"] for record in records()] == ["user.create", "user.delete"]
        assert {record["origin"] for record in records()} == {"python"}
        assert all(record["actor"] == OPERATOR.recorded_name for record in records())

    def test_with_the_tables_themselves(self, app, register, records):
        one, other = register(), register()
        with app.app_context():
            utils.delete_dataset(one["uri"])
            sql_db.session.query(Dataset).filter_by(uri=other["uri"]).delete()
            sql_db.session.commit()
        assert [record["subject"] for record in records()] == [one["uri"], other["uri"]]

    def test_within_a_request(self, app, people, records):
        with app.test_request_context("/", environ_overrides={"REMOTE_ADDR": "192.0.2.9"}):
            app.preprocess_request()
            utils.register_user("eve", {})
        (record,) = records()
        assert (record["actor"], record["origin"]) == (None, "192.0.2.9")


class TestReading:
    @pytest.fixture
    def history(self, app, people):
        """A few days of administration."""
        with app.app_context():
            sql_db.session.execute(text("DELETE FROM audit"))
            for number in range(25):
                users.add_user(f"user{number:02}", actor=Actor(ADMIN if number % 5 else CHAMPION))
            users.grant("search", "user01", RED, actor=OPERATOR)
            users.grant("register", "user01", BLUE, actor=OPERATOR)
            base_uris.add_base_uri("s3://user.base", actor=OPERATOR)
            for number, (identifier,) in enumerate(
                sql_db.session.execute(text("SELECT id FROM audit ORDER BY id")).all()
            ):
                sql_db.session.execute(
                    text("UPDATE audit SET at = :at WHERE id = :id"),
                    {
                        "at": str(timestamp_to_datetime(1_800_000_000 + 3600 * number)) + ".000000",
                        "id": identifier,
                    },
                )
            sql_db.session.commit()

    def test_the_newest_first_in_pages(self, admin, history):
        answer = admin.get("/audit?page_size=5")
        assert [record["action"] for record in answer.json[:3]] == [
            "base_uri.create",
            "grant.register",
            "grant.search",
        ]
        assert pagination(answer)["total"] == 28
        assert sorting(answer) == [("at", -1)]
        last = admin.get("/audit?page_size=5&page=6")
        assert [record["subject"] for record in last.json] == ["user02", "user01", "user00"]
        assert admin.get("/audit?page_size=5&page=7").status_code == 404
        assert admin.get("/audit?sort=at").json[0]["subject"] == "user00"

    @pytest.mark.parametrize(
        ("query", "number"),
        [
            ("actor=carl", 5),
            ("actor=nobody", 0),
            ("action=grant.", 2),
            ("action=grant.search", 1),
            ("action=grant", 0),
            ("action=user.", 25),
            ("action=%25.", 0),
            ("subject=user01", 3),
            ("base_uri=s3://red", 1),
            ("subject=user01&action=grant.", 2),
            ("since=1800000000", 28),
            ("since=1800003600", 27),
            ("until=1800003600", 1),
            ("since=2027-01-15T09:00:00Z", 27),
            ("since=2027-01-15T09:00:00", 27),
            ("since=2027-01-15T10:00:00%2B01:00", 27),
            ("since=2027-01-15T10:00:00+01:00", 27),
            ("until=2027-01-16", 16),
            ("since=1800003600&until=1800007200", 1),
        ],
    )
    def test_filters(self, admin, history, query, number):
        assert pagination(admin.get(f"/audit?{query}"))["total"] == number

    @pytest.mark.parametrize(
        "value", ["yesterday", "", "nan", "inf", "1e300", "2027-13-01", "0001-01-01T00:00%2B10:00"]
    )
    @pytest.mark.parametrize("name", ["since", "until"])
    def test_what_is_no_time(self, admin, name, value):
        answer = admin.get(f"/audit?{name}={value}")
        assert answer.status_code == 422
        assert list(answer.json["errors"]["query"]) == [name]

    def test_it_is_for_administrators(self, champion, nobody, anonymous, stranger):
        assert champion.get("/audit").status_code == nobody.get("/audit").status_code == 403
        assert anonymous.get("/audit").status_code == stranger.get("/audit").status_code == 401

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_it_cannot_be_changed(self, admin, method):
        assert admin.open("/audit", method=method).status_code == 405
        assert admin.open("/audit/1", method=method).status_code == 404

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "?sort=at",
            "?actor=carl",
            "?action=user.create",
            "?subject=eve",
            "?base_uri=s3://red",
            "?since=5",
        ],
    )
    def test_a_page_comes_from_an_index(self, app, admin, history, statements, query):
        with statements() as executed:
            admin.get(f"/audit{query}")
        (listing,) = [s for s in executed.executed if "ORDER BY audit" in s]
        with app.app_context():
            plan = sql_db.session.connection().exec_driver_sql(
                f"EXPLAIN QUERY PLAN {listing}", ("x",) * listing.count("?")
            )
            steps = [row.detail for row in plan]
        assert all("USING INDEX ix_audit_" in step for step in steps), steps


def test_pruning_leaves_a_record(app, people):
    with app.app_context():
        before = audit.list_records()[1]
        assert before
        assert audit.prune(OPERATOR, timestamp_to_datetime(0)) == 0
        assert audit.list_records()[1] == before
        assert audit.prune(OPERATOR, timestamp_to_datetime(TOMORROW)) == before
        (record,) = audit.list_records()[0]
    assert record["action"] == "audit.prune"
    assert record["details"]["records"] == before


def test_a_name_of_any_length_is_recorded(app, people):
    with app.app_context():
        audit.record(OPERATOR, "test.length", "\U0001f600" * 2000)
        (record,) = audit.list_records(audit.Filter(action="test.length"))[0]
    assert record["subject"] == "\U0001f600" * 625
