"""``dservercore.utils``: users, base URIs and permissions."""

from __future__ import annotations

import pytest

from dservercore import AuthenticationError, UnknownBaseURIError, ValidationError, utils
from dservercore.errors import ConflictError
from world import BLUE, RED, dataset_info


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
