import pytest

from dservercore import PaginationParameters, SortParameters, create_app, sql_db, utils
from dservercore.errors import UnavailableError


def dataset(name, number, **changes):
    uuid = f"00000000-0000-4000-8000-{number:012}"
    return {
        "base_uri": "s3://garden",
        "uri": f"s3://garden/{uuid}",
        "uuid": uuid,
        "type": "dataset",
        "name": name,
        "creator_username": "olga",
        "frozen_at": 1536238185.881941 + number,
        "readme": f"description: Pods of runner {name}",
        "manifest": {"dtoolcore_version": "3.19.0", "hash_function": "md5sum_hexdigest", "items": {}},
        "annotations": {},
        "tags": ["greens"],
        **changes,
    }


@pytest.fixture
def app(tmp_path):
    app = create_app(
        {
            "SQLALCHEMY_DATABASE_URI": "sqlite:///:memory:",
            "DSERVER_SEARCH_PLUGIN": "cards",
            "DSERVER_RETRIEVE_PLUGIN": "sql",
            "DSERVER_UPDATE_STORAGE": False,
            "CARDS_DIRECTORY": str(tmp_path / "cards"),
            # Whatever else is installed.
            "WORDCOUNT_LETTERS": "1",
            "WORDCOUNT_JOURNAL": str(tmp_path / "journal"),
        }
    )
    with app.app_context():
        sql_db.create_all()
        utils.register_users([{"username": "alice"}, {"username": "bob"}])
        utils.register_base_uri("s3://garden")
        permissions = {f"users_with_{what}_permissions": ["alice"] for what in ("search", "register")}
        utils.register_permissions("s3://garden", permissions)
        utils.register_dataset(dataset("beans", 1))
        utils.register_dataset(dataset("peas", 2, creator_username="otto", tags=["greens", "sweet"]))
        yield app


def names(query, username="alice", *parameters):
    return [found["name"] for found in utils.search_datasets_by_user(username, query, *parameters)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"free_text": "PODS runner"}, ["beans", "peas"]),
        ({"free_text": "pods peas"}, ["peas"]),
        ({"free_text": "carrots"}, []),
        ({"free_text": ""}, ["beans", "peas"]),
        ({"tags": ["greens", "sweet"]}, ["peas"]),
        # What the server does by itself:
        ({"creator_usernames": ["otto"]}, ["peas"]),
        ({"free_text": "pods", "creator_usernames": ["olga"]}, ["beans"]),
        ({"uuids": [dataset("", 1)["uuid"]]}, ["beans"]),
        ({"uploaded_by": ["alice"]}, []),
    ],
)
def test_filters(app, query, expected):
    assert names(query) == expected


def test_nothing_is_found_without_permission(app):
    assert names({"free_text": "pods"}, "bob") == []


def test_pages_and_order(app):
    page = PaginationParameters(page=2, page_size=1)
    assert names({"tags": ["greens"]}, "alice", page, SortParameters("-frozen_at")) == ["beans"]
    assert page.item_count == 2


def test_what_is_registered_again_is_found_once_and_as_it_is_now(app):
    utils.register_dataset(dataset("lentils", 1))
    assert names({"free_text": "beans"}) == []
    assert names({"tags": ["greens"]}) == ["lentils", "peas"]


def test_edits_arrive_although_there_is_no_method_for_them(app):
    utils.set_tags_for_uri_by_user("alice", dataset("", 1)["uri"], ["brown"])
    assert names({"tags": ["brown"]}) == ["beans"]


def test_what_is_deleted_is_not_found_although_its_card_is_there(app, tmp_path):
    utils.delete_dataset(dataset("", 1)["uri"])
    assert names({"tags": ["greens"]}) == ["peas"]
    assert len(list((tmp_path / "cards").iterdir())) == 2


def test_a_card_index_that_is_gone_stops_registrations(app, tmp_path):
    (tmp_path / "cards").rename(tmp_path / "elsewhere")
    assert app.search.ready() == "the card index cannot be written to"
    with pytest.raises(UnavailableError):
        utils.register_dataset(dataset("carrots", 3))
    (tmp_path / "elsewhere").rename(tmp_path / "cards")
    assert names({"tags": ["greens"]}) == ["beans", "peas"]
