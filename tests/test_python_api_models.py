"""``dservercore.sql_models``: tables and schemas, and what happens when a plugin works on them directly."""

from __future__ import annotations

from datetime import datetime

import marshmallow
import pytest
from sqlalchemy import delete, inspect

from dservercore import create_app, sql_db, utils, utils_auth
from dservercore.dataset.fields import DATASET_KEYS
from dservercore.sql_models import (
    BaseURI,
    BaseURISchema,
    BaseURIWithPermissionsSchema,
    Dataset,
    DatasetSchema,
    FloatDateTimeField,
    User,
    UserSchema,
    UserUpdateSchema,
    UserWithPermissionsSchema,
    register_permissions,
    search_permissions,
)
from support.world import BLUE, CHAMPION, READER, RED, dataset_info

FROZEN_AT = 1536238185.881941
FROZEN_AT_DATETIME = datetime(2018, 9, 6, 12, 49, 45, 881941)


@pytest.fixture
def context(app, people):
    with app.app_context():
        yield


@pytest.fixture
def beans(context):
    """The URIs of two datasets in RED and one in BLUE, all about beans."""
    return [utils.register_dataset(dataset_info(base_uri)) for base_uri in (RED, RED, BLUE)]


# The database of a plugin's tests


@pytest.mark.parametrize("place", ["sqlite:///:memory:", "sqlite:///{tmp_path}/plugin.db"])
def test_tables_are_made_and_dropped_as_plugins_do_in_their_fixtures(config, tmp_path, place):
    app = create_app({**config, "SQLALCHEMY_DATABASE_URI": place.format(tmp_path=tmp_path)})
    context = app.app_context()
    context.push()
    for _ in range(2):
        sql_db.Model.metadata.create_all(sql_db.engine)
        utils.register_users([{"username": "grumpy"}])
        utils.register_base_uri(RED)
        utils.register_permissions(RED, {"users_with_search_permissions": ["grumpy"]})
        utils.register_dataset(dataset_info())
        assert len(utils.list_datasets_by_user("grumpy")) == 1
        assert len(utils.search_datasets_by_user("grumpy", {"free_text": "beans"})) == 1
        sql_db.session.remove()
        sql_db.drop_all()
        assert inspect(sql_db.engine).get_table_names() == []
    context.pop()


# Models


def test_rows_can_be_queried_as_before(beans):
    query = sql_db.session.query(Dataset, BaseURI).filter(BaseURI.id == Dataset.base_uri_id)
    assert {(d.uri, b.base_uri) for d, b in query} == {(uri, uri.rsplit("/", 1)[0]) for uri in beans}
    granted = sql_db.session.query(User).join(search_permissions).join(BaseURI)
    assert [u.username for u in granted.filter(BaseURI.base_uri == BLUE)] == [READER]
    assert sql_db.session.query(register_permissions).count() == 1


def test_models_have_dictionaries(beans):
    assert set(utils.get_dataset_obj(beans[0]).as_dict()) == set(DATASET_KEYS)
    assert User.query.filter_by(username=CHAMPION).one().as_dict() == utils.get_user_info(CHAMPION)
    assert BaseURI.query.filter_by(base_uri=BLUE).one().as_dict() == utils.get_permission_info(BLUE)


def test_a_dataset_that_a_plugin_adds_is_listed_and_counted(context):
    info = dataset_info(size_in_bytes=7)
    sql_db.session.add(utils.create_dataset_obj_from_admin_metadata(info))
    sql_db.session.rollback()
    assert utils.list_datasets_by_user(CHAMPION) == []
    sql_db.session.add(utils.create_dataset_obj_from_admin_metadata(info))
    sql_db.session.commit()
    assert [dataset.uri for dataset in utils.list_datasets_by_user(CHAMPION)] == [info["uri"]]
    assert utils.summary_of_datasets_by_user(CHAMPION)["size_in_bytes_per_creator"] == {"olga": 7}
    utils.register_dataset(info)
    assert utils.summary_of_datasets_by_user(CHAMPION)["number_of_datasets"] == 1
    utils.delete_dataset(info["uri"])
    assert utils.summary_of_datasets_by_user(CHAMPION)["number_of_datasets"] == 0


def test_permissions_and_users_may_be_changed_through_the_models(context):
    user, base_uri = utils.get_user_obj(READER), utils.get_base_uri_obj(RED)
    base_uri.register_users.append(user)
    user.search_base_uris.remove(base_uri)
    sql_db.session.add(User(username="doc", is_admin=True))
    sql_db.session.commit()
    assert utils_auth.may_register(READER, RED) is True
    assert utils_auth.may_search(READER, RED) is False
    assert utils_auth.has_admin_rights("doc") is True
    sql_db.session.delete(user)
    sql_db.session.commit()
    assert utils.user_exists(READER) is False
    assert utils.get_permission_info(RED)["users_with_register_permissions"] == [CHAMPION]


DELETIONS = {
    "query": lambda uri: sql_db.session.query(Dataset).filter(Dataset.uri == uri).delete(),
    "statement": lambda uri: sql_db.session.execute(delete(Dataset).where(Dataset.uri == uri)),
    "object": lambda uri: sql_db.session.delete(utils.get_dataset_obj(uri)),
}


@pytest.mark.parametrize("delete_row", DELETIONS.values(), ids=DELETIONS)
@pytest.mark.filterwarnings("error")
def test_a_dataset_that_a_plugin_deletes_is_found_nowhere(beans, delete_row):
    delete_row(beans[0])
    sql_db.session.commit()
    assert [d.uri for d in utils.list_datasets_by_user(CHAMPION)] == [beans[1]]
    assert [d["uri"] for d in utils.search_datasets_by_user(CHAMPION, {"free_text": "beans"})] == [beans[1]]
    assert utils.summary_of_datasets_by_user(READER)["datasets_per_tag"] == {"2026": 2, "beans": 2}
    # The database may give the row's number to the next dataset, which must not inherit anything.
    utils.register_dataset(dataset_info(readme="Peas", tags=["peas"], name="peas"))
    assert len(utils.search_datasets_by_user(CHAMPION, {"free_text": "beans"})) == 1


def test_all_datasets_can_be_deleted_at_once(beans):
    assert sql_db.session.query(Dataset).delete() == 3
    sql_db.session.commit()
    assert utils.search_datasets_by_user(READER, {}) == []
    assert utils.summary_of_datasets_by_user(READER)["number_of_datasets"] == 0


def test_a_deletion_that_is_rolled_back_has_not_happened(beans):
    sql_db.session.query(Dataset).filter(Dataset.uri == beans[0]).delete()
    sql_db.session.rollback()
    assert len(utils.search_datasets_by_user(READER, {"free_text": "beans"})) == 3
    assert utils.summary_of_datasets_by_user(READER)["number_of_datasets"] == 3


# Schemas


def test_dataset_schema_dumps_models_and_dictionaries_to_dataset_objects(beans):
    expected = [utils.get_admin_metadata_from_uri(uri) for uri in sorted(beans)]
    schema = DatasetSchema(many=True)
    assert schema.dump(utils.list_datasets_by_user(READER)) == expected
    assert schema.dump(utils.search_datasets_by_user(READER, {})) == expected


def test_dataset_schema_takes_what_a_search_plugin_yields():
    found = {**dataset_info(), "frozen_at": FROZEN_AT_DATETIME, "created_at": FROZEN_AT_DATETIME}
    dumped = DatasetSchema().dump(found)
    assert set(dumped) == set(DATASET_KEYS)
    assert dumped["frozen_at"] == dumped["created_at"] == FROZEN_AT
    assert dumped["uploaded_by"] is dumped["uploaded_at"] is None


def test_dataset_schema_loads_times_as_datetimes():
    loaded = DatasetSchema(partial=True).load({"frozen_at": FROZEN_AT, "uploaded_at": None})
    assert loaded == {"frozen_at": FROZEN_AT_DATETIME, "uploaded_at": None}


class _Moment(marshmallow.Schema):
    at = FloatDateTimeField(allow_none=True)


@pytest.mark.parametrize("value", [FROZEN_AT_DATETIME, FROZEN_AT])
def test_float_date_time_field_dumps_seconds(value):
    assert _Moment().dump({"at": value}) == {"at": FROZEN_AT}


@pytest.mark.parametrize("value", [FROZEN_AT, str(FROZEN_AT)])
def test_float_date_time_field_loads_naive_utc(value):
    assert _Moment().load({"at": value}) == {"at": FROZEN_AT_DATETIME}


def test_float_date_time_field_passes_null():
    assert _Moment().dump({"at": None}) == _Moment().load({"at": None}) == {"at": None}


@pytest.mark.parametrize("value", ["yesterday", "nan", 1e18, {}])
def test_float_date_time_field_refuses_what_is_no_time(value):
    with pytest.raises(marshmallow.ValidationError):
        _Moment().load({"at": value})


def test_user_schemas(context):
    user = utils.get_user_obj(CHAMPION)
    without = {"username": CHAMPION, "is_admin": False, "display_name": None}
    assert UserSchema().dump(user) == without
    assert UserWithPermissionsSchema().dump(user) == user.as_dict()
    assert UserWithPermissionsSchema(many=True).dump([user.as_dict()]) == [user.as_dict()]
    assert UserSchema().load({"username": "doc", "is_admin": "yes"}) == {"username": "doc", "is_admin": True}
    assert UserUpdateSchema().load({"display_name": None}) == {"display_name": None}
    for schema, body in [
        (UserSchema, {"username": "x" * 65}),
        (UserSchema, {"unknown": 1}),
        (UserUpdateSchema, {"username": "doc"}),
    ]:
        with pytest.raises(marshmallow.ValidationError):
            schema().load(body)


def test_a_user_that_is_loaded_can_be_registered(context):
    utils.register_users([UserSchema().load({"username": "doc", "is_admin": True})])
    assert utils.get_user_info("doc")["is_admin"] is True


def test_tables_of_permissions_have_two_keys(context):
    for table in (search_permissions, register_permissions):
        assert [column.name for column in table.primary_key] == ["user_id", "base_uri_id"]
    sql_db.session.execute(delete(search_permissions))
    sql_db.session.commit()
    assert utils.get_user_info(READER)["search_permissions_on_base_uris"] == []


def test_base_uri_schemas(context):
    base_uri = utils.get_base_uri_obj(RED)
    assert BaseURISchema().dump(base_uri) == {"base_uri": RED}
    assert BaseURIWithPermissionsSchema().dump(base_uri) == utils.get_permission_info(RED)
    assert BaseURIWithPermissionsSchema(many=True).dump(utils.list_base_uris())[0]["base_uri"] == RED
