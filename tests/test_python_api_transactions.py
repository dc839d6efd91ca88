"""``dservercore.utils``: each function that writes ends its transaction, so that nobody else waits for its lock."""

from __future__ import annotations

import sqlite3

import pytest

from dservercore import utils
from dservercore.errors import DserverError
from support.world import CHAMPION, RED, STRANGER, dataset_info

UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28337"
URI = f"{RED}/{UUID}"
BEANS = dataset_info(uuid=UUID)

WRITES = {
    "register_user": lambda: utils.register_user("doc", {}),
    "register_users": lambda: utils.register_users([{"username": "doc"}]),
    "update_users": lambda: utils.update_users([{"username": CHAMPION, "is_admin": True}]),
    "delete_users": lambda: utils.delete_users([{"username": CHAMPION}]),
    "delete_user": lambda: utils.delete_user(CHAMPION),
    "register_base_uri": lambda: utils.register_base_uri("s3://new"),
    "delete_base_uri": lambda: utils.delete_base_uri("s3://blue"),
    "register_permissions": lambda: utils.register_permissions(RED, {}),
    "register_dataset": lambda: utils.register_dataset({**BEANS, "name": "renamed"}),
    "delete_dataset": lambda: utils.delete_dataset(URI),
    "register_dataset_admin_metadata": lambda: utils.register_dataset_admin_metadata(
        {**BEANS, "name": "renamed"}
    ),
    "delete_dataset_admin_metadata": lambda: utils.delete_dataset_admin_metadata(URI),
    "set_readme_for_uri_by_user": lambda: utils.set_readme_for_uri_by_user(CHAMPION, URI, "new"),
    "set_tags_for_uri_by_user": lambda: utils.set_tags_for_uri_by_user(CHAMPION, URI, ["new"]),
    "set_annotations_for_uri_by_user": lambda: utils.set_annotations_for_uri_by_user(CHAMPION, URI, {}),
    "set_annotation_for_uri_by_user": lambda: utils.set_annotation_for_uri_by_user(CHAMPION, URI, "new", 1),
    "delete_annotation_for_uri_by_user": lambda: utils.delete_annotation_for_uri_by_user(
        CHAMPION, URI, "soil"
    ),
}

FAILURES = {
    "register_user": lambda: utils.register_user("x" * 65, {}),
    "register_users": lambda: utils.register_users([{"username": "doc"}, {"username": ""}]),
    "update_users": lambda: utils.update_users(
        [{"username": CHAMPION, "is_admin": True}, {"username": CHAMPION, "display_name": "x" * 256}]
    ),
    "register_base_uri": lambda: utils.register_base_uri(RED),
    "delete_base_uri": lambda: utils.delete_base_uri(RED),
    "register_permissions": lambda: utils.register_permissions("s3://unknown", {}),
    "register_dataset": lambda: utils.register_dataset(
        {**BEANS, "manifest": {"items": {"1": {"relpath": "a", "hash": object()}}}}
    ),
    "set_tags_for_uri_by_user": lambda: utils.set_tags_for_uri_by_user(STRANGER, URI, []),
    "set_readme_for_uri_by_user": lambda: utils.set_readme_for_uri_by_user(CHAMPION, f"{RED}/none", ""),
}


@pytest.fixture
def other(app, people, tmp_path):
    """Another connection to the database, which does not wait, while the test is inside an application context."""
    with app.app_context():
        utils.register_dataset(BEANS)
        connection = sqlite3.connect(tmp_path / "test.db", timeout=0, isolation_level=None)
        yield connection
        connection.close()


def everything(connection):
    connection.execute("BEGIN IMMEDIATE")  # fails while anybody else is writing
    dumped = list(connection.iterdump())
    connection.execute("ROLLBACK")
    return dumped


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_is_written_is_there_for_others_at_once(other, write):
    before = everything(other)
    write()
    assert everything(other) != before


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_what_fails_leaves_nothing_behind_and_nobody_waiting(other, fail):
    before = everything(other)
    with pytest.raises((DserverError, TypeError)):
        fail()
    assert everything(other) == before
    utils.register_users([{"username": "after"}])  # and commits nothing of what failed
    assert {user["username"] for user in utils.list_users()} == {"ada", "carl", "rita", "nora", "after"}
    assert utils.get_user_info(CHAMPION)["is_admin"] is False
