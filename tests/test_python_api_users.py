"""``dservercore.utils``: users, base URIs and permissions."""

from __future__ import annotations

import pytest

from dservercore import AuthenticationError, UnknownBaseURIError, ValidationError, utils
from dservercore.errors import ConflictError
from support.world import BLUE, RED, dataset_info


@pytest.fixture(autouse=True)
def context(app):
    """The application context that a plugin's test-suite pushes once."""
    with app.app_context():
        yield


@pytest.fixture
def dwarfs():
    utils.register_users([{"username": "grumpy"}, {"username": "dopey", "is_admin": True}])


def admins():
    return {user["username"]: user["is_admin"] for user in utils.list_users()}


# Users


def test_users_are_listed_in_the_order_of_their_registration(dwarfs):
    assert utils.list_users() == [
        {
            "username": username,
            "display_name": None,
            "is_admin": is_admin,
            "search_permissions_on_base_uris": [],
            "register_permissions_on_base_uris": [],
        }
        for username, is_admin in [("grumpy", False), ("dopey", True)]
    ]


def test_register_users_leaves_those_alone_who_are_there(dwarfs):
    utils.register_users([{"username": "dopey"}, {"username": "doc", "display_name": "The Doc"}])
    assert admins() == {"grumpy": False, "dopey": True, "doc": False}
    assert utils.get_user_info("doc")["display_name"] == "The Doc"


def test_register_users_with_a_name_that_is_none_registers_nobody():
    with pytest.raises(ValidationError):
        utils.register_users([{"username": "doc"}, {"username": "x" * 65}])
    assert utils.list_users() == []


def test_register_user_inserts_and_overwrites():
    utils.register_user("doc", {"is_admin": True, "display_name": "The Doc"})
    utils.register_user("doc", {})
    assert utils.get_user_info("doc")["is_admin"] is False
    assert utils.get_user_info("doc")["display_name"] == "The Doc"
    assert utils.register_user("doc", {"is_admin": True}) is None
    assert admins() == {"doc": True}


@pytest.mark.parametrize("write", [utils.register_users, utils.update_users])
@pytest.mark.parametrize(
    "properties",
    [{"is_admin": "False"}, {"is_admin": "true"}, {"is_admin": []}, {"display_name": 5}, {"username": 5}],
)
def test_what_is_no_property_of_a_user_changes_nobody(dwarfs, write, properties):
    before = utils.list_users()
    with pytest.raises(ValidationError, match=next(iter(properties))):
        write([{"username": "grumpy", "is_admin": True}, {"username": "doc", **properties}])
    assert [user["username"] for user in utils.list_users()] == ["grumpy", "dopey"]
    assert utils.list_users() == before


@pytest.mark.parametrize(
    ("username", "data"),
    [(None, {}), (5, {}), ("", {}), ("doc", {"is_admin": "False"}), ("doc", {"display_name": 5})],
)
def test_register_user_refuses_what_is_no_user(username, data):
    with pytest.raises(ValidationError):
        utils.register_user(username, data)
    assert utils.list_users() == []


def test_users_may_come_from_a_generator_and_stay_as_they_are():
    given = [{"username": "doc", "is_admin": None, "email": "doc@example.org"}]
    utils.register_users(user for user in given)
    utils.update_users(user for user in given)
    assert given == [{"username": "doc", "is_admin": None, "email": "doc@example.org"}]
    assert admins() == {"doc": False}
    utils.delete_users(user for user in given)
    assert admins() == {}


def test_the_name_that_is_called_counts_and_not_the_one_in_the_properties():
    data = {"username": "other", "is_admin": True}
    utils.register_user(username="doc", data=data)
    assert admins() == {"doc": True}
    assert data == {"username": "other", "is_admin": True}


def test_update_users_passes_over_strangers_and_takes_admin_rights_unless_told(dwarfs):
    utils.update_users(
        [{"username": "dopey"}, {"username": "stranger"}, {"username": "grumpy", "is_admin": True}]
    )
    assert admins() == {"grumpy": True, "dopey": False}


def test_delete_users_and_delete_user_do_not_mind_strangers(dwarfs):
    utils.delete_users([{"username": "grumpy"}, {"username": "stranger"}])
    utils.delete_user("stranger")
    assert admins() == {"dopey": True}
    utils.delete_user("dopey")
    assert utils.list_users() == []


def test_a_user_can_be_asked_for(dwarfs):
    assert utils.user_exists("grumpy")
    assert not utils.user_exists("stranger")
    assert utils.get_user_info("stranger") is None
    assert utils.get_user_obj("grumpy").as_dict() == utils.get_user_info("grumpy")
    with pytest.raises(AuthenticationError):
        utils.get_user_obj("stranger")


def test_a_user_object_follows_what_is_granted(dwarfs):
    user = utils.get_user_obj("grumpy")
    utils.register_base_uri(RED)
    utils.register_permissions(RED, {"users_with_search_permissions": ["grumpy"]})
    assert user.as_dict()["search_permissions_on_base_uris"] == [RED]


# Base URIs and permissions


def test_base_uris_are_registered_listed_and_deleted():
    for base_uri in (RED, BLUE):
        assert utils.register_base_uri(base_uri) is None
    assert [b["base_uri"] for b in utils.list_base_uris()] == [RED, BLUE]
    assert utils.base_uri_exists(RED)
    utils.delete_base_uri(RED)
    utils.delete_base_uri(RED)
    assert not utils.base_uri_exists(RED)


def test_a_base_uri_that_is_registered_is_not_registered_again():
    utils.register_base_uri(RED)
    with pytest.raises(ConflictError):
        utils.register_base_uri(f"{RED}/")


def test_a_path_is_the_base_uri_of_a_directory_here(tmp_path):
    utils.register_base_uri(str(tmp_path))
    (registered,) = utils.list_base_uris()
    assert registered["base_uri"].startswith("file://")
    assert registered["base_uri"].endswith(str(tmp_path))


def test_a_base_uri_is_the_same_with_a_slash_at_its_end_and_a_directory_by_its_path(dwarfs, tmp_path):
    for base_uri in (f"{RED}/", tmp_path):
        utils.register_base_uri(base_uri)
        assert utils.base_uri_exists(base_uri)
        assert utils.get_base_uri_obj(base_uri).as_dict() == utils.get_permission_info(base_uri)
        utils.register_permissions(base_uri, {"users_with_search_permissions": ["grumpy"]})
        assert utils.get_permission_info(base_uri)["users_with_search_permissions"] == ["grumpy"]
        assert utils.list_admin_metadata_in_base_uri(base_uri) == []
        utils.delete_base_uri(base_uri)
        assert utils.list_base_uris() == []


@pytest.mark.parametrize("base_uri", ["", None, 5, "  ", "/tmp/a?b", "s3://", "s3://a?b", "s3://a\nb"])
def test_what_is_no_base_uri_is_not_registered(base_uri):
    with pytest.raises(ValidationError):
        utils.register_base_uri(base_uri)
    assert utils.list_base_uris() == []


def test_nothing_is_no_base_uri():
    assert utils.base_uri_exists("") is utils.base_uri_exists(None) is False


def test_a_base_uri_with_datasets_stays():
    utils.register_base_uri(RED)
    utils.register_dataset(dataset_info())
    with pytest.raises(ConflictError):
        utils.delete_base_uri(RED)
    assert utils.base_uri_exists(RED)


def test_register_permissions_replaces_both_lists(dwarfs):
    utils.register_base_uri(RED)
    utils.register_permissions(
        RED,
        {
            "base_uri": RED,
            "users_with_search_permissions": ["grumpy", "dopey"],
            "users_with_register_permissions": ["grumpy"],
        },
    )
    assert utils.get_permission_info(RED) == {
        "base_uri": RED,
        "users_with_search_permissions": ["dopey", "grumpy"],
        "users_with_register_permissions": ["grumpy"],
    }
    assert utils.get_base_uri_obj(RED).as_dict() == utils.get_permission_info(RED)
    utils.register_permissions(RED, {"users_with_register_permissions": ["dopey"]})
    assert utils.list_base_uris() == [
        {
            "base_uri": RED,
            "users_with_search_permissions": [],
            "users_with_register_permissions": ["dopey"],
        }
    ]


def test_register_permissions_passes_over_strangers(dwarfs):
    utils.register_base_uri(RED)
    utils.register_permissions(RED, {"users_with_search_permissions": ["grumpy", "stranger"]})
    assert utils.get_permission_info(RED)["users_with_search_permissions"] == ["grumpy"]


@pytest.mark.parametrize("usernames", ["grumpy", None, 5, [None], [["grumpy"]]])
def test_permissions_are_lists_of_names(dwarfs, usernames):
    utils.register_base_uri(RED)
    utils.register_users([{"username": letter} for letter in "grumpy"])
    utils.register_permissions(RED, {"users_with_search_permissions": ["dopey"]})
    with pytest.raises(ValidationError, match="users_with_register_permissions"):
        utils.register_permissions(RED, {"users_with_register_permissions": usernames})
    assert utils.get_permission_info(RED)["users_with_search_permissions"] == ["dopey"]
    assert utils.get_permission_info(RED)["users_with_register_permissions"] == []


@pytest.mark.parametrize(
    "ask",
    [
        utils.get_base_uri_obj,
        utils.get_permission_info,
        utils.list_admin_metadata_in_base_uri,
        lambda base_uri: utils.register_permissions(base_uri, {}),
    ],
)
def test_an_unknown_base_uri_is_an_error(ask):
    with pytest.raises(UnknownBaseURIError):
        ask("s3://unknown")
