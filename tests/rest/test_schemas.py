"""What the schemas accept, what they turn it into, and what they say about the rest."""

from __future__ import annotations

import copy
import json
from typing import Any

import dtoolcore
import marshmallow as ma
import pytest
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from dtoolcore import DataSetCreator
from openapi_spec_validator import validate

from dservercore import schemas
from dservercore.dataset.values import MAX_JSON_DEPTH
from dservercore.rest import schemas as all_schemas
from dservercore.rest.condition_schemas import ConditionsSchema
from dservercore.rest.schemas import MAX_REPORTED_ITEMS, BaseURIPutSchema, UserPatchSchema, UserPutSchema

UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28337"
ITEM = {
    "hash": "49f68a5c8493ec2c0bf489821c21fc3b",
    "relpath": "sub/f.txt",
    "size_in_bytes": 2,
    "utc_timestamp": 1536832115.5,
}
MANIFEST = {
    "dtoolcore_version": "3.7.0",
    "hash_function": "md5sum_hexdigest",
    "items": {"e4cc3a7dc281c3d89ed4553293c4b4b110dc9bf3": ITEM},
}
DATASET = {
    "uuid": UUID,
    "base_uri": "s3://bucket",
    "uri": f"s3://bucket/{UUID}",
    "name": "my-dataset",
    "type": "dataset",
    "readme": "---\ndescription: test",
    "manifest": MANIFEST,
    "creator_username": "olssont",
    "frozen_at": 1536238185.881941,
    "annotations": {"stars": 5},
    "tags": ["traffic", "light"],
}


def nested(depth: int) -> Any:
    """Return lists in lists, *depth* levels of them."""
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


def errors_of(schema: type[ma.Schema], data: Any) -> Any:
    """Return what is wrong with *data*; {} if nothing is."""
    return schema().validate(data)


class _Identified(ma.Schema):
    uuid = schemas.UUIDString()


class TestAnswers:
    """Schemas that describe what the server answers."""

    @pytest.mark.parametrize(
        ("schema", "answer"),
        [
            (schemas.HealthSchema, {"status": "healthy"}),
            (schemas.ConfigSchema, {"config": {"default_user": "testuser", "nothing": None}}),
            (schemas.VersionSchema, {"versions": {"dservercore": "1.0.0", "unknown": None}}),
            (schemas.ReadmeSchema, {"readme": "description: test"}),
            (schemas.ItemSchema, ITEM),
        ],
    )
    def test_dump_and_load_what_is_answered(self, schema, answer):
        assert schema().dump(answer) == schema().load(answer) == answer

    @pytest.mark.parametrize(
        "schema", [schemas.HealthSchema, schemas.ConfigSchema, schemas.VersionSchema, schemas.ReadmeSchema]
    )
    def test_have_one_field_that_is_required(self, schema):
        (field,) = schema().fields
        assert errors_of(schema, {}) == {field: ["Missing data for required field."]}

    def test_item_checks_its_values(self):
        wrong = {"hash": 1, "relpath": 2, "size_in_bytes": -1, "utc_timestamp": "x"}
        assert errors_of(schemas.ItemSchema, wrong).keys() == ITEM.keys()

    def test_summary_has_all_figures(self):
        per = {f"{what}_per_{kind}" for what in ("datasets", "size_in_bytes") for kind in PER}
        lists = {"creator_usernames", "base_uris", "tags", "uploaders"}
        numbers = {"number_of_datasets", "total_size_in_bytes"}
        assert set(schemas.SummarySchema().fields) == numbers | lists | per
        assert set(errors_of(schemas.SummarySchema, {})) == numbers | lists | per


PER = ("creator", "base_uri", "tag", "uploader")


class TestUUID:
    @pytest.mark.parametrize("text", [UUID, UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}"])
    def test_field_loads_every_spelling_to_one(self, text):
        assert _Identified().load({"uuid": text}) == {"uuid": UUID}
        assert _Identified().dump({"uuid": UUID}) == {"uuid": UUID}

    def test_field_says_what_is_wrong(self):
        assert errors_of(_Identified, {"uuid": "none"}) == {"uuid": ["Not a valid UUID."]}

    @pytest.mark.parametrize(
        "spelling",
        [
            UUID,
            UUID.upper(),
            UUID.replace("-", ""),
            f"{{{UUID}}}",
            f"urn:uuid:{UUID}",
            f"URN:UUID:{UUID}".lower(),
        ],
    )
    def test_any_spelling_loads_to_lower_case_with_dashes(self, spelling):
        assert schemas.RegisterDatasetSchema().load({"uuid": spelling}) == {"uuid": UUID}

    @pytest.mark.parametrize(
        "value",
        [
            *["", "x", UUID[:-1], UUID + "0", UUID.replace("a", "g"), f" {UUID}", UUID.replace("-", "_")],
            *[UUID.replace("6", "٦"), "_".join(["1" * 16, "1" * 15]), 1, 0.5, None, [UUID], {}, True],
        ],
    )
    def test_anything_else_is_an_error(self, value):
        assert "uuid" in errors_of(schemas.RegisterDatasetSchema, {"uuid": value})


class TestRegistration:
    def test_everything_arrives_as_it_was_sent(self):
        assert schemas.RegisterDatasetSchema().load(copy.deepcopy(DATASET)) == DATASET

    def test_nothing_is_required_here(self):
        assert schemas.RegisterDatasetSchema().load({}) == {}

    @pytest.mark.parametrize("field", [*sorted(DATASET), "created_at", "number_of_items", "size_in_bytes"])
    def test_null_is_not_a_value(self, field):
        assert field in errors_of(schemas.RegisterDatasetSchema, {field: None})

    @pytest.mark.parametrize("field", ["uploaded_by", "uploaded_at", "nonsense"])
    def test_unknown_fields_are_errors(self, field):
        assert errors_of(schemas.RegisterDatasetSchema, {field: "x"}) == {field: ["Unknown field."]}

    @pytest.mark.parametrize("field", ["name", "readme", "uri", "base_uri", "type", "creator_username"])
    @pytest.mark.parametrize("value", [1, ["x"], {"x": 1}, True])
    def test_text_is_text(self, field, value):
        assert field in errors_of(schemas.RegisterDatasetSchema, {field: value})

    @pytest.mark.parametrize("field", ["frozen_at", "created_at"])
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (1536238185.881941, 1536238185.881941),
            ("1536238185.881941", 1536238185.881941),
            (0, 0.0),
            ("-1", -1.0),
        ],
    )
    def test_times_are_numbers_or_numeric_strings(self, field, value, seconds):
        loaded = schemas.RegisterDatasetSchema().load({field: value})
        assert loaded == {field: seconds}
        assert type(loaded[field]) is float

    @pytest.mark.parametrize(
        "value",
        [
            *["", "abc", "inf", "-inf", "nan", "1e18", "253402300800", "-62135596801", "2018-09-06T12:49:45"],
            *[1e18, 10**400, -(10**12), float("inf"), float("nan"), True, False, [1], {"$date": 1}],
        ],
    )
    def test_what_is_no_time_between_the_years_1_and_9999(self, value):
        assert "frozen_at" in errors_of(schemas.RegisterDatasetSchema, {"frozen_at": value})

    @pytest.mark.parametrize("field", ["number_of_items", "size_in_bytes"])
    @pytest.mark.parametrize(("value", "number"), [(0, 0), ("12", 12), (12.7, 12), (2**63 - 1, 2**63 - 1)])
    def test_counts_take_numeric_strings_and_drop_fractions(self, field, value, number):
        assert schemas.RegisterDatasetSchema().load({field: value}) == {field: number}

    @pytest.mark.parametrize("value", [-1, "-1", 2**63, 1e300, "x", "", True, [1], "9" * 5000])
    def test_counts_are_not_negative_and_below_2_to_the_63(self, value):
        assert "size_in_bytes" in errors_of(schemas.RegisterDatasetSchema, {"size_in_bytes": value})

    @pytest.mark.parametrize("value", ["x", {"a": 1}, 1, [1], [None], [["x"]]])
    def test_tags_are_a_list_of_text(self, value):
        assert "tags" in errors_of(schemas.RegisterDatasetSchema, {"tags": value})

    @pytest.mark.parametrize("value", ["x", [], 1, ["a"]])
    def test_annotations_are_an_object(self, value):
        assert "annotations" in errors_of(schemas.RegisterDatasetSchema, {"annotations": value})

    def test_annotations_hold_any_json(self):
        annotations = {"a": None, "b": [1, 2.5, "x", {"c": {}}], "language": {"d": False}, "": ""}
        assert schemas.RegisterDatasetSchema().load({"annotations": annotations}) == {
            "annotations": annotations
        }

    def test_annotations_as_deep_as_every_store_takes(self):
        fits, too_deep = {"a": nested(MAX_JSON_DEPTH)}, {"a": 1, "b": {"c": nested(MAX_JSON_DEPTH)}}
        assert not errors_of(schemas.RegisterDatasetSchema, {"annotations": fits})
        errors = errors_of(schemas.RegisterDatasetSchema, {"annotations": too_deep})
        assert list(errors["annotations"]) == ["b"]

    def test_what_dtoolcore_says_about_a_dataset_is_accepted_as_it_is(self, tmp_path):
        (tmp_path / "data.txt").write_text("hello")
        (tmp_path / "base").mkdir()
        with DataSetCreator("real", str(tmp_path / "base"), readme_content="---\na: 1\n") as creator:
            creator.put_item(str(tmp_path / "data.txt"), "sub/data.txt")
            creator.put_annotation("stars", {"count": 5})
            creator.put_tag("real")
        dataset = dtoolcore.DataSet.from_uri(creator.uri)
        info = {
            **dataset._admin_metadata,
            "uri": dataset.uri,
            "base_uri": dataset.base_uri,
            "readme": dataset.get_readme_content(),
            "manifest": dataset._manifest,
            "annotations": {name: dataset.get_annotation(name) for name in dataset.list_annotation_names()},
            "tags": dataset.list_tags(),
            "number_of_items": len(dataset.identifiers),
            "size_in_bytes": sum(item["size_in_bytes"] for item in dataset._manifest["items"].values()),
        }
        assert schemas.RegisterDatasetSchema().load(info) == info
        assert schemas.RegisterDatasetSchema().load(json.loads(json.dumps(info))) == info


class TestManifest:
    def load(self, manifest: Any) -> Any:
        return schemas.RegisterDatasetSchema().load({"manifest": manifest})["manifest"]

    def errors(self, manifest: Any) -> Any:
        return errors_of(schemas.RegisterDatasetSchema, {"manifest": manifest})["manifest"]

    @pytest.mark.parametrize("manifest", [MANIFEST, {**MANIFEST, "items": {}}, {"items": {}}, {}])
    def test_arrives_as_it_was_sent(self, manifest):
        assert self.load(manifest) == manifest

    def test_items_need_not_be_complete(self):
        manifest = {"items": {"a": {"hash": "x"}, "b": {}}}
        assert self.load(manifest) == manifest

    def test_numbers_may_be_strings(self):
        given = {"items": {"a": {**ITEM, "size_in_bytes": "7", "utc_timestamp": "1.5"}, "b": ITEM}}
        before = copy.deepcopy(given)
        assert self.load(given) == {
            "items": {"a": {**ITEM, "size_in_bytes": 7, "utc_timestamp": 1.5}, "b": ITEM}
        }
        assert given == before

    @pytest.mark.parametrize("manifest", ["x", [], 1, None, True])
    def test_is_an_object(self, manifest):
        assert isinstance(self.errors(manifest), list | dict)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            *[({"hash": value}, "hash") for value in (1, None, ["x"])],
            *[({"relpath": value}, "relpath") for value in (1, None, {})],
            *[({"size_in_bytes": value}, "size_in_bytes") for value in (-1, 2**63, "x", None, True, [1])],
            *[({"utc_timestamp": value}, "utc_timestamp") for value in ("x", None, True, [1])],
            *[({"utc_timestamp": float(value)}, "utc_timestamp") for value in ("inf", "-inf", "nan")],
            ({"colour": "red"}, "colour"),
        ],
    )
    def test_a_bad_item_is_named_with_its_field(self, change, field):
        errors = self.errors({**MANIFEST, "items": {"good": ITEM, "bad": {**ITEM, **change}}})
        assert list(errors) == ["items"]
        assert list(errors["items"]) == ["bad"]
        assert list(errors["items"]["bad"]) == [field]

    @pytest.mark.parametrize(
        "item", ["x", None, 1, [], list(ITEM), ["hash", "relpath", "size_in_bytes", "utc_timestamp"]]
    )
    def test_an_item_is_an_object(self, item):
        assert "bad" in self.errors({"items": {"bad": item}})["items"]

    @pytest.mark.parametrize("items", [None, [], "x", [ITEM]])
    def test_items_are_an_object(self, items):
        assert isinstance(self.errors({"items": items})["items"], list)

    @pytest.mark.parametrize("change", [{"hash_function": 1}, {"dtoolcore_version": None}, {"colour": "red"}])
    def test_errors_beside_the_items(self, change):
        errors = self.errors({**MANIFEST, **change, "items": {"bad": {"hash": 1}}})
        assert list(errors) == [*change, "items"]

    def test_errors_have_the_shape_that_the_plain_schema_gives(self):
        bad = {"hash_function": 1, "colour": "red", "items": {"bad": {**ITEM, "size_in_bytes": -1, "x": 1}}}
        plain = schemas.ManifestSchema().validate(bad)
        # Values of a marshmallow Dict stand under "value".
        plain["items"] = {identifier: error["value"] for identifier, error in plain["items"].items()}
        assert self.errors(bad) == plain

    def test_bad_items_are_listed_up_to_a_number(self):
        errors = self.errors({"items": {str(number): {"hash": number} for number in range(10_000)}})["items"]
        assert len(errors) == MAX_REPORTED_ITEMS + 1
        assert str(MAX_REPORTED_ITEMS) in errors["_schema"][0]

    def test_good_items_are_neither_copied_nor_rebuilt(self):
        # A million of them have to fit into memory once.
        given = {f"{number:040x}": dict(ITEM) for number in range(1000)}
        loaded = self.load({**MANIFEST, "items": given})["items"]
        assert all(loaded[identifier] is item for identifier, item in given.items())


class TestSearch:
    QUERY = {
        "free_text": "green light",
        "creator_usernames": ["olssont"],
        "base_uris": [],
        "uuids": [UUID],
        "tags": ["traffic"],
        "uploaded_by": ["grumpy"],
    }

    def test_filters(self):
        assert schemas.SearchDatasetSchema().load(self.QUERY) == self.QUERY

    def test_uuids_load_to_text(self):
        assert schemas.SearchDatasetSchema().load({"uuids": [UUID.upper()]}) == {"uuids": [UUID]}

    def test_a_bad_uuid_is_named_by_its_position(self):
        assert errors_of(schemas.SearchDatasetSchema, {"uuids": [UUID, "x"]}) == {
            "uuids": {1: ["Not a valid UUID."]}
        }

    @pytest.mark.parametrize("field", list(QUERY))
    @pytest.mark.parametrize("value", [None, 1, {"$ne": 1}, [1], [None]])
    def test_filters_are_text(self, field, value):
        assert field in errors_of(schemas.SearchDatasetSchema, {field: value})

    def test_unknown_filters_are_errors(self):
        assert errors_of(schemas.SearchDatasetSchema, {"query": {}}) == {"query": ["Unknown field."]}


class TestUsers:
    def test_put_without_is_admin_is_an_ordinary_user(self):
        assert UserPutSchema().load({}) == {"is_admin": False}

    @pytest.mark.parametrize("value", [True, "yes", "true", "on", "1", 1])
    def test_words_for_truth(self, value):
        assert UserPutSchema().load({"is_admin": value}) == {"is_admin": True}

    @pytest.mark.parametrize(
        "body",
        [
            *[{"is_admin": None}, {"is_admin": "perhaps"}, {"is_admin": []}, {"is_admin": {}}],
            *[{"username": "x" * 65}, {"username": None}, {"username": 1}],
            *[{"display_name": "x" * 256}, {"display_name": 1}, {"password": "x"}],
        ],
    )
    def test_put_refuses(self, body):
        assert list(errors_of(UserPutSchema, body)) == list(body)

    @pytest.mark.parametrize("display_name", [None, "", "x" * 255, "Ölßon 😀"])
    def test_display_names(self, display_name):
        for schema in (UserPutSchema, UserPatchSchema, schemas.MeUpdateSchema):
            assert schema().load({"display_name": display_name})["display_name"] == display_name

    def test_patch_leaves_out_what_was_left_out(self):
        assert UserPatchSchema().load({}) == {}
        assert UserPatchSchema().load({"is_admin": None}) == {"is_admin": None}
        assert schemas.MeUpdateSchema().load({}) == {}

    @pytest.mark.parametrize(
        ("schema", "body"),
        [
            (UserPatchSchema, {"display_name": "x" * 256}),
            (UserPatchSchema, {"username": "x"}),
            (schemas.MeUpdateSchema, {"display_name": "x" * 256}),
            (schemas.MeUpdateSchema, {"is_admin": True}),
        ],
    )
    def test_patch_refuses(self, schema, body):
        assert list(errors_of(schema, body)) == list(body)


class TestBaseURIs:
    def test_a_list_left_out_is_no_empty_one(self):
        assert BaseURIPutSchema().load({}) == {}

    @pytest.mark.parametrize("value", [None, "grumpy", [1], [None], {}])
    def test_lists_of_user_names(self, value):
        body = {"users_with_search_permissions": value}
        assert list(errors_of(BaseURIPutSchema, body)) == ["users_with_search_permissions"]


class TestMetadata:
    @pytest.mark.parametrize("body", [{}, {"readme": None}, {"readme": 1}, {"readme": "x", "more": 1}])
    def test_readme_is_required_text(self, body):
        assert errors_of(schemas.ReadmeRequestSchema, body)

    def test_no_tags_means_none(self):
        assert schemas.TagSchema().load({}) == {"tags": []}

    def test_an_annotation_left_out_is_null_but_null_is_refused(self):
        assert schemas.SingleAnnotationSchema().load({}) == {"value": None}
        assert errors_of(schemas.SingleAnnotationSchema, {"value": None})

    @pytest.mark.parametrize("value", [0, "", False, [], {}, {"a": [None]}, 1.5])
    def test_an_annotation_is_any_other_json(self, value):
        assert schemas.SingleAnnotationSchema().load({"value": value}) == {"value": value}

    def test_an_annotation_too_deep(self):
        assert errors_of(schemas.SingleAnnotationSchema, {"value": nested(MAX_JSON_DEPTH + 1)})
        assert errors_of(schemas.SingleAnnotationSchema, {"value": nested(100_000)})

    def test_annotations_too_deep(self):
        assert errors_of(schemas.AnnotationSchema, {"annotations": {"a": nested(MAX_JSON_DEPTH + 1)}})


def test_every_schema_makes_valid_openapi():
    spec = APISpec("Schemas", "1", "3.0.2", plugins=[MarshmallowPlugin()])
    found = [
        member
        for member in (*vars(all_schemas).values(), ConditionsSchema)
        if isinstance(member, type) and issubclass(member, ma.Schema)
    ]
    for schema in found:
        name = schema.__name__.removesuffix("Schema")
        if name not in spec.components.schemas:
            spec.components.schema(name, schema=schema)
    document = spec.to_dict()
    validate(document)
    assert len(document["components"]["schemas"]) == len(found) > 20
    registration = document["components"]["schemas"]["RegisterDataset"]["properties"]
    assert registration["manifest"] == {"$ref": "#/components/schemas/Manifest"}
    assert registration["uuid"]["format"] == "uuid"
