"""``dservercore.utils``: registering, finding and deleting datasets."""

from __future__ import annotations

import copy
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dservercore import (
    AuthenticationError,
    PaginationParameters,
    SortParameters,
    UnknownBaseURIError,
    UnknownURIError,
    ValidationError,
    utils,
)
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import orm_rows
from dservercore.dataset.fields import DATASET_KEYS
from dservercore.dataset.times import datetime_to_timestamp
from support.world import BLUE, CHAMPION, NOBODY, READER, RED, STRANGER, dataset_info

UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28337"
OTHER_UUID = "a2218059-5bd0-4690-b090-062faf08e046"


@pytest.fixture(autouse=True)
def context(app, people):
    with app.app_context():
        yield


@pytest.fixture
def beans():
    """The document of a dataset in RED, of which there is a copy in BLUE, and an older one beside it."""
    info = dataset_info(RED, uuid=UUID)
    utils.register_dataset(info)
    utils.register_dataset(dataset_info(BLUE, uuid=UUID, name="beans-copied"))
    utils.register_dataset(dataset_info(RED, uuid=OTHER_UUID, name="peas", readme="peas", tags=["old"]))
    return info


def names(datasets):
    return [dataset.name for dataset in datasets]


# Registering


def test_register_dataset_returns_the_uri_and_replaces(beans):
    assert utils.register_dataset({**beans, "name": "renamed"}) == beans["uri"]
    assert utils.get_admin_metadata_from_uri(beans["uri"])["name"] == "renamed"
    assert utils.summary_of_datasets_by_user(CHAMPION)["number_of_datasets"] == 2


def test_a_document_needs_no_more_than_the_required_keys():
    info = {key: value for key, value in dataset_info().items() if key in utils.DATASET_INFO_REQUIRED_KEYS}
    utils.register_dataset(info)
    registered = utils.get_admin_metadata_from_uri(info["uri"])
    assert registered["created_at"] == registered["frozen_at"] == info["frozen_at"]
    assert registered["number_of_items"] is registered["size_in_bytes"] is None


@pytest.mark.parametrize("frozen_at", ["1536238185.881941", 1536238185.881941])
def test_times_may_be_text_or_numbers(frozen_at):
    uri = utils.register_dataset(dataset_info(frozen_at=frozen_at))
    assert utils.get_admin_metadata_from_uri(uri)["frozen_at"] == 1536238185.881941
    assert utils.get_dataset_obj(uri).frozen_at == datetime(2018, 9, 6, 12, 49, 45, 881941)


def test_nobody_uploaded_what_a_plugin_registers_now():
    before = datetime_to_timestamp(datetime.now(timezone.utc))
    registered = utils.get_admin_metadata_from_uri(utils.register_dataset(dataset_info()))
    assert registered["uploaded_by"] is None
    assert before <= registered["uploaded_at"] <= before + 60


@pytest.mark.parametrize(
    "uploaded_at",
    [
        datetime(2020, 1, 1, 12),
        datetime(2020, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))),
        1577880000,
        "1577880000.0",
    ],
)
def test_who_uploaded_and_when_is_kept_where_it_is_given(uploaded_at):
    info = dataset_info(uploaded_by=CHAMPION, uploaded_at=uploaded_at)
    registered = utils.get_admin_metadata_from_uri(utils.register_dataset(info))
    assert (registered["uploaded_by"], registered["uploaded_at"]) == (CHAMPION, 1577880000.0)
    assert utils.summary_of_datasets_by_user(READER)["uploaders"] == [CHAMPION]


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "protodataset"},
        {"uuid": "none"},
        {"frozen_at": "yesterday"},
        {"base_uri": f"{RED}/"},
        {"tags": ["bad tag!"]},
        {"uploaded_by": 1},
        {"uploaded_at": "yesterday"},
    ],
)
def test_a_document_that_is_not_acceptable_is_a_validation_error(changes):
    with pytest.raises(ValidationError):
        utils.register_dataset({**dataset_info(), **changes})
    assert utils.list_admin_metadata_in_base_uri(RED) == []


@pytest.mark.parametrize("document", [{}, None, [], "text", 5])
def test_what_is_no_document_is_a_validation_error(document):
    assert utils.dataset_info_is_valid(document) is False
    with pytest.raises(ValidationError):
        utils.register_dataset(document)


def test_a_document_is_left_as_it_is_and_may_have_more():
    info = dataset_info(dtoolcore_version="3.19.0", more={"of": ["it"]}, tags=("a", "b"))
    given = copy.deepcopy(info)
    uri = utils.register_dataset(dataset_info=info)
    assert info == given
    assert utils.get_tags_from_uri_by_user(username=CHAMPION, uri=uri) == ["a", "b"]


@pytest.mark.parametrize("kind", [UnknownBaseURIError, ValidationError])
def test_an_unregistered_base_uri_is_both_unknown_and_a_fault_of_the_document(kind):
    with pytest.raises(kind, match="s3://unknown"):
        utils.register_dataset(dataset_info("s3://unknown"))
    # The base URI comes before what else is wrong.
    with pytest.raises(kind, match="s3://unknown"):
        utils.register_dataset({**dataset_info(RED), "base_uri": "s3://unknown"})


@pytest.mark.parametrize(
    ("changes", "is_valid"),
    [
        ({}, True),
        ({"readme": {"description": "parsed"}}, True),
        ({"type": "protodataset"}, False),
        ({"uuid": "too-short"}, False),
        ({"base_uri": f"{RED}/"}, False),
    ],
)
def test_dataset_info_is_valid_looks_at_the_form(changes, is_valid):
    assert utils.dataset_info_is_valid({**dataset_info(), **changes}) is is_valid


@pytest.mark.parametrize("key", utils.DATASET_INFO_REQUIRED_KEYS)
def test_dataset_info_without_a_required_key_is_not_valid(key):
    info = dataset_info()
    del info[key]
    assert utils.dataset_info_is_valid(info) is False


def test_what_is_generated_from_a_stored_dataset_can_be_registered(tmp_path):
    from dtoolcore import DataSet, DataSetCreator

    with DataSetCreator("beans", str(tmp_path), readme_content="---\ndescription: pods") as creator:
        Path(creator.prepare_staging_abspath_promise("pod.txt")).write_text("bean")
        creator.put_tag("greens")
        creator.put_annotation("soil", "loam")
    utils.register_base_uri(str(tmp_path))
    base_uri = utils.list_base_uris()[-1]["base_uri"]
    info = utils.generate_dataset_info(DataSet.from_uri(creator.uri), base_uri)
    assert {"readme", "manifest", "annotations", "tags", "uri", "base_uri"} <= info.keys()
    assert (info["number_of_items"], info["size_in_bytes"]) == (1, 4)
    assert utils.register_dataset(info) == creator.uri


# Finding


def test_list_datasets_by_user_returns_what_may_be_searched(beans):
    assert names(utils.list_datasets_by_user(CHAMPION)) == ["peas", "bean-harvest"]
    assert names(utils.list_datasets_by_user(READER)) == ["beans-copied", "peas", "bean-harvest"]
    assert utils.list_datasets_by_user(NOBODY) == []
    with pytest.raises(AuthenticationError):
        utils.list_datasets_by_user(STRANGER)


def test_list_datasets_by_user_in_pages_and_sorted(beans):
    page = PaginationParameters(2, 2)
    found = utils.list_datasets_by_user(
        READER, pagination_parameters=page, sort_parameters=SortParameters("-name")
    )
    assert names(found) == ["bean-harvest"]
    assert page.item_count == 3


def test_datasets_are_complete_objects(beans):
    (dataset,) = [d for d in utils.list_datasets_by_user(CHAMPION) if d.uuid == UUID]
    assert dataset.base_uri.base_uri == RED
    assert dataset.frozen_at == datetime(2018, 9, 6, 12, 49, 45, 881941)
    assert set(dataset.as_dict()) == set(DATASET_KEYS)


def test_all_of_many_datasets_are_listed():
    numbers = [str(number) for number in range(1, 1202)]
    scope = operator_scope("register")
    for number in numbers:
        uuid = f"00000000-0000-4000-8000-{number:>012}"
        orm_rows.put_admin_metadata(scope, dataset_info(RED, uuid=uuid, name=number))
    assert names(utils.list_datasets_by_user(READER)) == numbers


def test_lookup_datasets_by_user_and_uuid_finds_the_copies(beans):
    page = PaginationParameters(1, 1)
    assert [d.uri for d in utils.lookup_datasets_by_user_and_uuid(READER, UUID, page)] == [f"{BLUE}/{UUID}"]
    assert page.item_count == 2
    backwards = utils.lookup_datasets_by_user_and_uuid(
        READER, UUID.upper(), sort_parameters=SortParameters("-uri")
    )
    assert [d.uri for d in backwards] == [f"{RED}/{UUID}", f"{BLUE}/{UUID}"]
    assert len(utils.lookup_datasets_by_user_and_uuid(CHAMPION, UUID)) == 1
    assert utils.lookup_datasets_by_user_and_uuid(READER, "none") == []
    with pytest.raises(AuthenticationError):
        utils.lookup_datasets_by_user_and_uuid(STRANGER, UUID)


def test_get_dataset_by_user_and_uri_is_none_where_it_may_not_be_seen(beans):
    assert utils.get_dataset_by_user_and_uri(CHAMPION, beans["uri"]).uri == beans["uri"]
    for username, uri in [
        (CHAMPION, f"{BLUE}/{UUID}"),
        (CHAMPION, f"{RED}/none"),
        (CHAMPION, "s3://unknown/none"),
        (STRANGER, beans["uri"]),
    ]:
        assert utils.get_dataset_by_user_and_uri(username, uri) is None


def test_search_datasets_by_user_returns_dataset_objects(beans):
    page = PaginationParameters(1, 10)
    found = utils.search_datasets_by_user(READER, {"free_text": "greenhouse"}, page, SortParameters("-uri"))
    assert [d["uri"] for d in found] == [f"{RED}/{UUID}", f"{BLUE}/{UUID}"]
    assert page.item_count == 2
    assert found[0] == utils.get_admin_metadata_from_uri(beans["uri"])


@pytest.mark.parametrize(
    "query",
    [
        {"tags": "beans"},
        {"base_uris": RED},
        {"uuids": 5},
        {"tags": [5]},
        {"free_text": ["beans"]},
        {"creator_username": ["olga"]},
    ],
)
def test_a_filter_that_is_none_is_an_error_and_not_left_out(beans, query):
    (field,) = query
    with pytest.raises(ValidationError, match=field):
        utils.search_datasets_by_user(READER, query)


def test_a_query_is_left_as_it_is_and_may_have_uuids_and_sets(beans):
    query = {"uuids": {uuid.UUID(UUID)}, "tags": (), "free_text": None, "base_uris": [RED, "s3://unknown"]}
    given = dict(query)
    assert [d["uri"] for d in utils.search_datasets_by_user(username=READER, query=query)] == [beans["uri"]]
    assert query == given
    assert len(utils.search_datasets_by_user(READER, {"uuids": [UUID.upper()]})) == 2


@pytest.mark.parametrize(
    "ask",
    [
        lambda page: utils.list_datasets_by_user(READER, page),
        lambda page: utils.lookup_datasets_by_user_and_uuid(READER, UUID, page),
        lambda page: utils.search_datasets_by_user(READER, {}, page),
    ],
)
def test_a_page_that_there_is_not_is_empty_and_knows_how_much_there_is(beans, ask):
    page = PaginationParameters(page=99, page_size=10)
    assert ask(page) == []
    assert page.item_count in (2, 3)


@pytest.mark.parametrize(
    "ask",
    [
        lambda page: utils.list_datasets_by_user(NOBODY, page),
        lambda page: utils.lookup_datasets_by_user_and_uuid(NOBODY, UUID, page),
        lambda page: utils.search_datasets_by_user(NOBODY, {}, page),
    ],
)
def test_a_page_of_what_may_not_be_seen_counts_nothing(beans, ask):
    page = PaginationParameters(page=1, page_size=10)
    assert ask(page) == []
    assert page.item_count == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda sort: utils.list_datasets_by_user(READER, sort_parameters=sort),
        lambda sort: utils.lookup_datasets_by_user_and_uuid(READER, UUID, sort_parameters=sort),
        lambda sort: utils.search_datasets_by_user(READER, {}, sort_parameters=sort),
    ],
)
def test_sorting_by_a_field_that_there_is_not_is_an_error(beans, ask):
    for field in utils.DATASET_SORT_FIELDS:
        assert ask(SortParameters([f"-{field}"]))
    with pytest.raises(ValidationError, match="colour"):
        ask(SortParameters("colour"))


def test_search_without_a_filter_finds_everything_permitted(beans):
    assert len(utils.search_datasets_by_user(READER, {})) == 3
    assert len(utils.search_datasets_by_user(CHAMPION, {"tags": ["beans"], "base_uris": [RED, BLUE]})) == 1
    assert utils.search_datasets_by_user(NOBODY, {}) == []
    with pytest.raises(AuthenticationError):
        utils.search_datasets_by_user(STRANGER, {})


@pytest.mark.parametrize(
    ("asked", "permitted"),
    [
        ({}, [BLUE, RED]),
        ({"base_uris": ["s3://unknown", RED]}, [RED]),
        ({"base_uris": []}, []),
    ],
)
def test_preprocess_query_base_uris_changes_the_query(asked, permitted):
    query = {"uuids": [UUID], **asked}
    assert utils.preprocess_query_base_uris(READER, query) is query
    assert query == {"uuids": [UUID], "base_uris": permitted}


def test_preprocess_query_base_uris_wants_a_list():
    with pytest.raises(ValidationError):
        utils.preprocess_query_base_uris(READER, {"base_uris": RED})


def test_preprocess_query_base_uris_leaves_what_it_does_not_know():
    query = {"query": {"name": "beans"}, "aggregation": []}
    assert utils.preprocess_query_base_uris(CHAMPION, dict(query)) == query | {"base_uris": [RED]}


def test_preprocess_query_base_uris_knows_no_strangers():
    with pytest.raises(AuthenticationError):
        utils.preprocess_query_base_uris(STRANGER, {})


def test_summary_of_datasets_by_user(beans):
    summary = utils.summary_of_datasets_by_user(CHAMPION)
    assert summary["number_of_datasets"] == 2
    assert summary["datasets_per_base_uri"] == {RED: 2}
    assert summary["datasets_per_tag"] == {"2026": 1, "beans": 1, "old": 1}
    with pytest.raises(AuthenticationError):
        utils.summary_of_datasets_by_user(STRANGER)


def test_a_dataset_can_be_asked_for_by_its_uri(beans):
    assert utils.dataset_uri_exists(beans["uri"])
    assert utils.get_dataset_obj(beans["uri"]).as_dict() == utils.get_admin_metadata_from_uri(beans["uri"])
    assert not utils.dataset_uri_exists(f"{RED}/none")
    assert utils.get_admin_metadata_from_uri(f"{RED}/none") is None
    with pytest.raises(UnknownURIError):
        utils.get_dataset_obj(f"{RED}/none")


def test_list_admin_metadata_in_base_uri(beans):
    listed = utils.list_admin_metadata_in_base_uri(RED)
    assert [d["uuid"] for d in listed] == [OTHER_UUID, UUID]
    assert set(listed[0]) == set(DATASET_KEYS)


# Deleting


def test_delete_dataset_removes_it_everywhere(beans):
    assert utils.delete_dataset(beans["uri"]) == beans["uri"]
    assert not utils.dataset_uri_exists(beans["uri"])
    assert utils.search_datasets_by_user(READER, {"uuids": [UUID], "base_uris": [RED]}) == []
    assert utils.summary_of_datasets_by_user(CHAMPION)["number_of_datasets"] == 1


@pytest.mark.parametrize("delete", [utils.delete_dataset, utils.delete_dataset_admin_metadata])
@pytest.mark.parametrize("uri", [f"{RED}/none", "s3://unknown/none"])
def test_deleting_what_is_not_there_is_no_error(delete, uri):
    assert delete(uri) == uri


# The row alone


ADMIN_METADATA = {
    "base_uri": RED,
    "uri": f"{RED}/{UUID}",
    "uuid": UUID,
    "name": "beans",
    "creator_username": "olga",
    "frozen_at": "1536238185.881941",
}


def test_register_dataset_admin_metadata_writes_the_row_alone():
    assert utils.register_dataset_admin_metadata(ADMIN_METADATA) == ADMIN_METADATA["uri"]
    assert names(utils.list_datasets_by_user(CHAMPION)) == ["beans"]
    assert utils.summary_of_datasets_by_user(CHAMPION)["datasets_per_creator"] == {"olga": 1}
    assert utils.search_datasets_by_user(CHAMPION, {"free_text": "beans"}) == []
    with pytest.raises(UnknownURIError):
        utils.get_readme_from_uri_by_user(CHAMPION, ADMIN_METADATA["uri"])


def test_register_dataset_admin_metadata_leaves_the_description(beans):
    utils.register_dataset_admin_metadata({**ADMIN_METADATA, "creator_username": "otto", "size_in_bytes": 7})
    summary = utils.summary_of_datasets_by_user(CHAMPION)
    assert summary["datasets_per_tag"] == {"2026": 1, "beans": 1, "old": 1}
    assert summary["size_in_bytes_per_creator"] == {"olga": beans["size_in_bytes"], "otto": 7}
    assert utils.get_readme_from_uri_by_user(CHAMPION, beans["uri"]) == beans["readme"]
    assert set(utils.get_tags_from_uri_by_user(CHAMPION, beans["uri"])) == set(beans["tags"])


def test_delete_dataset_admin_metadata_leaves_nothing_in_the_sql_database(beans):
    assert utils.delete_dataset_admin_metadata(beans["uri"]) == beans["uri"]
    assert utils.summary_of_datasets_by_user(CHAMPION)["datasets_per_tag"] == {"old": 1}
    assert utils.search_datasets_by_user(CHAMPION, {"free_text": "beans"}) == []
    assert utils.register_dataset(beans) == beans["uri"]


@pytest.mark.parametrize(
    "write", [utils.register_dataset_admin_metadata, utils.create_dataset_obj_from_admin_metadata]
)
def test_the_row_needs_a_registered_base_uri(write):
    with pytest.raises(UnknownBaseURIError):
        write({**ADMIN_METADATA, "base_uri": "s3://unknown"})


def test_register_dataset_admin_metadata_refuses_what_is_not_acceptable():
    for broken in ({}, {**ADMIN_METADATA, "name": ""}, {**ADMIN_METADATA, "uploaded_at": "yesterday"}):
        with pytest.raises(ValidationError):
            utils.register_dataset_admin_metadata(broken)


def test_create_dataset_obj_from_admin_metadata_stores_nothing():
    dataset = utils.create_dataset_obj_from_admin_metadata(ADMIN_METADATA)
    assert dataset.uri == ADMIN_METADATA["uri"]
    assert dataset.created_at == dataset.frozen_at == datetime(2018, 9, 6, 12, 49, 45, 881941)
    assert utils.list_datasets_by_user(CHAMPION) == []
