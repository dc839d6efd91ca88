import pytest

from dservercore import UnknownURIError, ValidationError, create_app, sql_db, utils
from dservercore.errors import UnavailableError

URI = "s3://garden/af6727bf-29c7-43dd-b42f-a5d7ede28337"
BEANS = {
    "base_uri": "s3://garden",
    "uri": URI,
    "uuid": "af6727bf-29c7-43dd-b42f-a5d7ede28337",
    "type": "dataset",
    "name": "beans",
    "creator_username": "olga",
    "frozen_at": 1536238185.881941,
    "readme": "description: Pods of runner beans",
    "manifest": {"dtoolcore_version": "3.19.0", "hash_function": "md5sum_hexdigest", "items": {}},
    "annotations": {"soil": "loam"},
    "tags": ["greens"],
}


@pytest.fixture
def app(tmp_path):
    app = create_app(
        {
            "SQLALCHEMY_DATABASE_URI": "sqlite:///:memory:",
            "DSERVER_SEARCH_PLUGIN": "sql",
            "DSERVER_RETRIEVE_PLUGIN": "shelf",
            "DSERVER_UPDATE_STORAGE": False,
            "SHELF_DIRECTORY": str(tmp_path / "shelf"),
            # Whatever else is installed.
            "WORDCOUNT_LETTERS": "1",
            "WORDCOUNT_JOURNAL": str(tmp_path / "journal"),
        }
    )
    with app.app_context():
        sql_db.create_all()
        utils.register_users([{"username": "alice"}])
        utils.register_base_uri("s3://garden")
        permissions = {f"users_with_{what}_permissions": ["alice"] for what in ("search", "register")}
        utils.register_permissions("s3://garden", permissions)
        utils.register_dataset(BEANS)
        yield app


def test_what_was_registered_is_handed_out(app):
    assert app.retrieve.get_readme(URI) == BEANS["readme"]
    assert app.retrieve.get_manifest(URI) == BEANS["manifest"]
    assert app.retrieve.get_annotations(URI) == BEANS["annotations"]
    assert app.retrieve.get_tags(URI) == BEANS["tags"]


def test_what_is_edited_is_handed_out_as_it_is_now(app):
    utils.set_readme_for_uri_by_user("alice", URI, "description: Peas")
    utils.set_tags_for_uri_by_user("alice", URI, ["sweet"])
    utils.set_annotation_for_uri_by_user("alice", URI, "water", "little")
    assert utils.get_readme_from_uri_by_user("alice", URI) == "description: Peas"
    assert utils.get_tags_from_uri_by_user("alice", URI) == ["sweet"]
    assert utils.get_annotations_from_uri_by_user("alice", URI) == {"soil": "loam", "water": "little"}


def test_what_is_deleted_is_gone(app, tmp_path):
    utils.delete_dataset(URI)
    assert list((tmp_path / "shelf").iterdir()) == []
    app.retrieve.delete_dataset(URI)  # no error
    with pytest.raises(UnknownURIError):
        app.retrieve.get_readme(URI)


def test_a_readme_that_does_not_fit_is_refused(app):
    with pytest.raises(ValidationError, match="readme"):
        utils.register_dataset({**BEANS, "readme": "x" * 1_000_001})
    assert utils.get_readme_from_uri_by_user("alice", URI) == BEANS["readme"]


def test_a_shelf_that_is_gone_stops_edits(app, tmp_path):
    (tmp_path / "shelf").rename(tmp_path / "elsewhere")
    assert app.retrieve.ready() == "the shelf cannot be written to"
    with pytest.raises(UnavailableError):
        utils.set_tags_for_uri_by_user("alice", URI, ["sweet"])
