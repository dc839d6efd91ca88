import pytest
from flask_jwt_extended import create_access_token

from dservercore import create_app, sql_db, utils
from dservercore.errors import ConfigurationError

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
    "annotations": {},
    "tags": [],
}


def settings(tmp_path, letters):
    """The whole configuration: the environment is not read, and get_config is not asked."""
    return {
        "SQLALCHEMY_DATABASE_URI": "sqlite:///:memory:",
        "JWT_ALGORITHM": "HS256",
        "JWT_SECRET_KEY": "a secret of no less than 32 characters",
        "DSERVER_SEARCH_PLUGIN": "sql",
        "DSERVER_RETRIEVE_PLUGIN": "sql",
        "WORDCOUNT_LETTERS": letters,
        "WORDCOUNT_JOURNAL": str(tmp_path / "journal"),
    }


@pytest.fixture
def app(tmp_path):
    app = create_app(settings(tmp_path, letters="5"))
    with app.app_context():
        sql_db.create_all()
        utils.register_users([{"username": "alice"}, {"username": "bob"}])
        utils.register_base_uri("s3://garden")
        utils.register_permissions("s3://garden", {"users_with_search_permissions": ["alice"]})
        utils.register_dataset(BEANS)
        yield app


def count(app, username, uri):
    headers = {"Authorization": f"Bearer {create_access_token(username)}"}
    return app.test_client().get(f"/wordcount/{utils.uri_to_url_suffix(uri)}", headers=headers)


def test_long_words_are_counted(app):
    assert count(app, "alice", URI).json == {"words": 3}


@pytest.mark.parametrize(
    ("username", "uri", "status"),
    [("carol", URI, 401), ("bob", URI, 403), ("alice", "s3://garden/none", 404)],
)
def test_who_may_not_read_the_readme_gets_no_count(app, username, uri, status):
    assert count(app, username, uri).status_code == status


def test_the_journal_tells_what_happened(app, tmp_path):
    utils.delete_dataset(URI)
    assert (tmp_path / "journal").read_text().splitlines() == [f"{URI} 3 words", f"{URI} deleted"]


def test_a_wrong_setting_is_one_line_for_the_administrator(tmp_path):
    with pytest.raises(ConfigurationError, match=r"^WORDCOUNT_LETTERS: expected a number$"):
        create_app(settings(tmp_path, letters="many"))
