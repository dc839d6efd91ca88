"""``dservercore.utils``: README, manifest, tags and annotations on behalf of a user."""

from __future__ import annotations

import pytest

from dservercore import (
    AuthenticationError,
    AuthorizationError,
    UnknownBaseURIError,
    UnknownURIError,
    ValidationError,
    utils,
)
from support.world import CHAMPION, NOBODY, READER, RED, STRANGER, dataset_info

READ = [
    utils.get_readme_from_uri_by_user,
    utils.get_manifest_from_uri_by_user,
    utils.get_tags_from_uri_by_user,
    utils.get_annotations_from_uri_by_user,
]
WRITE = [
    lambda username, uri: utils.set_readme_for_uri_by_user(username, uri, "new"),
    lambda username, uri: utils.set_tags_for_uri_by_user(username, uri, ["new"]),
    lambda username, uri: utils.set_annotations_for_uri_by_user(username, uri, {"new": 1}),
    lambda username, uri: utils.set_annotation_for_uri_by_user(username, uri, "new", 1),
    lambda username, uri: utils.delete_annotation_for_uri_by_user(username, uri, "soil"),
]


@pytest.fixture(autouse=True)
def context(app, people):
    with app.app_context():
        yield


@pytest.fixture
def beans():
    info = dataset_info()
    utils.register_dataset(info)
    return info


def test_what_was_registered_is_read(beans):
    uri = beans["uri"]
    assert utils.get_readme_from_uri_by_user(READER, uri) == beans["readme"]
    assert utils.get_manifest_from_uri_by_user(READER, uri) == beans["manifest"]
    assert set(utils.get_tags_from_uri_by_user(READER, uri)) == set(beans["tags"])
    assert utils.get_annotations_from_uri_by_user(READER, uri) == beans["annotations"]


@pytest.mark.parametrize("call", READ + WRITE)
@pytest.mark.parametrize(
    ("username", "uri", "error"),
    [
        (STRANGER, f"{RED}/none", AuthenticationError),
        (STRANGER, "s3://unknown/none", AuthenticationError),
        (CHAMPION, "s3://unknown/none", UnknownBaseURIError),
        (NOBODY, f"{RED}/none", AuthorizationError),
        (CHAMPION, f"{RED}/none", UnknownURIError),
    ],
)
def test_errors_in_their_order(call, username, uri, error):
    with pytest.raises(error):
        call(username, uri)


@pytest.mark.parametrize("write", WRITE)
def test_search_permission_is_not_enough_to_write(write, beans):
    with pytest.raises(AuthorizationError):
        write(READER, beans["uri"])


def test_what_is_set_is_read_and_found(beans):
    uri = beans["uri"]
    assert utils.set_readme_for_uri_by_user(CHAMPION, uri, "about lentils") == "about lentils"
    assert utils.set_tags_for_uri_by_user(CHAMPION, uri, ["pulses"]) == ["pulses"]
    assert utils.set_annotations_for_uri_by_user(CHAMPION, uri, {"soil": "clay"}) == {"soil": "clay"}
    with_water = {"soil": "clay", "water": [1, None]}
    assert utils.set_annotation_for_uri_by_user(CHAMPION, uri, "water", [1, None]) == with_water
    assert utils.delete_annotation_for_uri_by_user(CHAMPION, uri, "soil") == {"water": [1, None]}
    assert utils.get_readme_from_uri_by_user(READER, uri) == "about lentils"
    assert utils.get_tags_from_uri_by_user(READER, uri) == ["pulses"]
    assert utils.get_annotations_from_uri_by_user(READER, uri) == {"water": [1, None]}
    query = {"free_text": "lentils water", "tags": ["pulses"]}
    assert len(utils.search_datasets_by_user(READER, query)) == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda uri: utils.set_tags_for_uri_by_user(CHAMPION, uri, ["bad tag!"]),
        lambda uri: utils.set_annotation_for_uri_by_user(CHAMPION, uri, "bad name!", 1),
        lambda uri: utils.set_annotations_for_uri_by_user(CHAMPION, uri, {"soil": float("nan")}),
        lambda uri: utils.set_readme_for_uri_by_user(CHAMPION, uri, "\0"),
        lambda uri: utils.set_readme_for_uri_by_user(CHAMPION, uri, None),
        lambda uri: utils.set_readme_for_uri_by_user(CHAMPION, uri, b"bytes"),
        lambda uri: utils.set_tags_for_uri_by_user(CHAMPION, uri, "letters"),
        lambda uri: utils.set_tags_for_uri_by_user(CHAMPION, uri, None),
        lambda uri: utils.set_annotations_for_uri_by_user(CHAMPION, uri, ["soil"]),
        lambda uri: utils.set_annotation_for_uri_by_user(CHAMPION, uri, 5, 1),
        lambda uri: utils.set_annotation_for_uri_by_user(CHAMPION, uri, "water", object()),
    ],
)
def test_what_dtool_would_not_take_is_a_validation_error(write, beans):
    with pytest.raises(ValidationError):
        write(beans["uri"])
    assert set(utils.get_tags_from_uri_by_user(READER, beans["uri"])) == set(beans["tags"])
    assert utils.get_annotations_from_uri_by_user(READER, beans["uri"]) == beans["annotations"]
    assert utils.get_readme_from_uri_by_user(READER, beans["uri"]) == beans["readme"]


def test_removing_an_annotation_that_is_not_there_is_no_error(beans):
    left = utils.delete_annotation_for_uri_by_user(username=CHAMPION, uri=beans["uri"], name="none")
    assert left == beans["annotations"]


@pytest.mark.parametrize("updates_storage", [True, False])
def test_an_edit_reaches_the_stored_dataset_unless_that_is_switched_off(app, tmp_path, updates_storage):
    from dtoolcore import DataSet, DataSetCreator

    app.config["DSERVER_UPDATE_STORAGE"] = updates_storage
    with DataSetCreator("beans", str(tmp_path), readme_content="---\ndescription: pods") as creator:
        pass
    utils.register_base_uri(str(tmp_path))
    base_uri = utils.list_base_uris()[-1]["base_uri"]
    permissions = {f"users_with_{grant}_permissions": [CHAMPION] for grant in ("search", "register")}
    utils.register_permissions(base_uri, permissions)
    uri = utils.register_dataset(utils.generate_dataset_info(DataSet.from_uri(creator.uri), base_uri))
    utils.set_tags_for_uri_by_user(CHAMPION, uri, ["greens"])
    assert DataSet.from_uri(uri).list_tags() == (["greens"] if updates_storage else [])
