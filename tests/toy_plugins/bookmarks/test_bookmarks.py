import re
import threading

import pytest
from flask_jwt_extended import create_access_token

from dservercore import create_app, sql_db, utils
from dservercore.catalog import job_runs

BASE_URI = "s3://garden"
URI = f"{BASE_URI}/af6727bf-29c7-43dd-b42f-a5d7ede28337"
BEANS = {
    "base_uri": BASE_URI,
    "uri": URI,
    "uuid": "af6727bf-29c7-43dd-b42f-a5d7ede28337",
    "type": "dataset",
    "name": "beans",
    "creator_username": "olga",
    "frozen_at": 1536238185.881941,
    "readme": "description: Pods of runner beans",
    "manifest": {"dtoolcore_version": "3.19.0", "hash_function": "md5sum_hexdigest", "items": {}},
    "annotations": {},
    "tags": [],
}


@pytest.fixture
def app(tmp_path):
    app = create_app(
        {
            "SECRET_KEY": "a secret of no less than 32 characters",
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'test.db'}",
            "JWT_ALGORITHM": "HS256",
            "JWT_SECRET_KEY": "a secret of no less than 32 characters",
            "DSERVER_SEARCH_PLUGIN": "sql",
            "DSERVER_RETRIEVE_PLUGIN": "sql",
            "BOOKMARKS_MOST": "1",  # as text, as the environment has it
            "BOOKMARKS_OUTBOX": str(tmp_path / "outbox.txt"),
        }
    )
    with app.app_context():
        sql_db.create_all()
        utils.register_users([{"username": "alice"}, {"username": "bob"}])
        utils.register_base_uri(BASE_URI)
        utils.register_permissions(BASE_URI, {"users_with_search_permissions": ["alice"]})
        utils.register_dataset(BEANS)
        yield app


def send(app, method, path, username="alice"):
    headers = {"Authorization": f"Bearer {create_access_token(username)}"}
    return app.test_client().open(path, method=method, headers=headers)


def test_a_user_bookmarks_what_may_be_searched(app):
    path = f"/bookmarks/{utils.uri_to_url_suffix(URI)}"
    assert send(app, "PUT", path).json == {"uris": [URI]}
    assert send(app, "GET", "/bookmarks").json == {"uris": [URI]}
    assert send(app, "PUT", path).status_code == 409
    assert send(app, "DELETE", path).json == {"uris": []}
    assert send(app, "PUT", path, "bob").status_code == 403
    assert send(app, "PUT", path, "carol").status_code == 401


def test_a_change_is_told_and_a_deletion_forgotten(app, tmp_path):
    send(app, "PUT", f"/bookmarks/{utils.uri_to_url_suffix(URI)}")
    utils.register_dataset(BEANS | {"readme": "changed"})
    assert job_runs.work(threading.Event(), once=True) == 1
    assert (tmp_path / "outbox.txt").read_text() == f"alice: {URI} has changed\n"
    utils.delete_dataset(URI)
    assert send(app, "GET", "/bookmarks").json == {"uris": []}


def test_the_page_takes_suggestions_that_come_from_itself(app):
    client = app.test_client()
    assert client.post("/suggest-a-bookmark", data={"uri": URI}).status_code == 422
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/suggest-a-bookmark").text)[1]
    assert client.post("/suggest-a-bookmark", data={"uri": URI, "csrf_token": token}).status_code == 303
    assert app.test_cli_runner().invoke(args=["bookmarks", "suggested"]).output == f"{URI}\n"
