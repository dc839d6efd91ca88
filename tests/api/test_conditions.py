"""``POST /uris`` with conditions in JSON: how they are checked, and that they are answered like the query language."""

from __future__ import annotations

from typing import Any

import pytest

from api.conftest import on_sql_alone, on_usual_stores, pagination
from dservercore.dataset.conditions import CONDITIONS, MAX_CONDITIONS, MAX_DEPTH
from support.world import RED

pytestmark = on_usual_stores


@pytest.fixture
def lab(register: Any) -> None:
    """Three datasets."""
    register(name="rice", tags=["imaging"], annotations={"temperature": 301.5, "species": "Oryza"})
    register(name="mouse", readme="runs", size_in_bytes=2_000_000_000, annotations={"donor": "b"}, tags=[])
    register(name="void", readme="", annotations={}, frozen_at=1_704_067_200)


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("name:rice", {"name": "rice"}),
        ("readme:greenhouse", {"readme": "greenhouse"}),
        ("tag:imaging", {"tag": "imaging"}),
        ("annotation:oryza", {"annotation": "oryza"}),
        ("file:*.bt2", {"file": "*.bt2"}),
        ("size:>1GB", {"size": {"gt": 1_000_000_000}}),
        ("items:1", {"items": 1}),
        ("frozen:2024", {"frozen": "2024"}),
        ("frozen:<2024", {"frozen": {"lt": "2024"}}),
        ("frozen:2024", {"frozen": 2024}),
        ("created:2018..2019", {"created": {"gte": 2018, "lte": 2019.0}}),
        ("species:Oryza", {"annotations": {"species": "Oryza"}}),
        ("temperature:301.50", {"annotations": {"temperature": 301.5}}),
        ("created:2018-09..2018-10", {"created": {"gte": "2018-09", "lte": "2018-10"}}),
        ("temperature:>300", {"annotations": {"temperature": {"gt": 300}}}),
        ("missing:readme", {"missing": ["readme"]}),
        ("base:red", {"base": "red"}),
        ("uri:red", {"uri": "red"}),
        ("creator:olga", {"any": [{"creator_usernames": ["olga"]}]}),
        ("(name:rice OR size:>1GB) NOT missing:tags",
         {"any": [{"name": "rice"}, {"size": {"gt": "1GB"}}], "not": {"missing": ["tags"]}}),
        ("green*", {"text": "green*"}),
    ],
)  # fmt: skip
def test_a_condition_finds_what_the_query_language_finds(
    champion: Any, lab: None, text: str, conditions: dict[str, Any]
) -> None:
    typed = champion.post("/uris?sort=name", json={"free_text": text})
    filtered = champion.post("/uris?sort=name", json=conditions)
    assert filtered.status_code == 200, filtered.json
    assert filtered.json == typed.json != []
    assert pagination(filtered)["total"] == len(typed.json)


@pytest.mark.parametrize(
    ("conditions", "field", "message"),
    [
        ({"size": "huge"}, "size", "Not a number of bytes"),
        ({"size": {"gt": True}}, "size.gt", "Not a number"),
        ({"size": {"more": 3}}, "size.more", "Unknown operator. There are gt, gte, lt, lte."),
        ({"size": {"gt": 1, "gte": 2}}, "size.gte", "There is another gt or gte."),
        ({"size": {}}, "size", "at least one of gt, gte, lt, lte"),
        ({"size": None}, "size", "null"),
        ({"items": "many"}, "items", "Not a number."),
        ({"frozen": "yesterday"}, "frozen", "Not a time"),
        ({"frozen": ["2024"]}, "frozen", "Not a time"),
        ({"created": "2024-13"}, "created", "Not a time"),
        ({"name": ""}, "name", "one character or more"),
        ({"name": ["rice"]}, "name", "Not a text"),
        ({"name": "..."}, "name", "no letter"),
        ({"text": "x" * 1025}, "text", "Longer than 1,024"),
        ({"text": "x " * 201}, "text", "more than 200 words"),
        ({"any": [{"text": "a*"}] * 11}, "any.10.text", "more than 10 texts end in"),
        ({"annotations": ["a"]}, "annotations", "Not an object"),
        ({"annotations": {"a": None}}, "annotations.a", "Not a text, a number"),
        ({"annotations": {"a": {"exists": "yes"}}}, "annotations.a.exists", "Not true or false."),
        ({"annotations": {"a": {"gt": "3"}}}, "annotations.a.gt", "Not a number."),
        ({"annotations": {"a": []}}, "annotations.a", "at least one value"),
        ({"missing": ["name"]}, "missing", "Not one of readme, description, tags, annotations."),
        ({"missing": "readme"}, "missing", "Not a valid list."),
        ({"any": []}, "any", "one object or more"),
        ({"any": {"name": "a"}}, "any", "Not a valid list."),
        ({"any": [{}]}, "any.0", "at least one condition"),
        ({"any": [{"name": "a"}, {"colour": "red"}]}, "any.1.colour", "Unknown field."),
        ({"not": {"uuids": ["x"]}}, "not.uuids.0", "Not a valid UUID."),
        ({"not": [{"name": "a"}]}, "not", 'Not an object with conditions, such as {"name": "rice"}.'),
        ({"any": [3]}, "any.0", "Not an object with conditions"),
        ({"all": [{"not": "rice"}]}, "all.0.not", "Not an object with conditions"),
        ({"any": [{"size": n} for n in range(MAX_CONDITIONS + 1)]}, f"any.{MAX_CONDITIONS}.size", "more than 200"),
        ({"base_uri": RED}, "base_uri", "Unknown field."),
    ],
)  # fmt: skip
@on_sql_alone
def test_what_makes_no_sense_is_refused(
    champion: Any, conditions: dict[str, Any], field: str, message: str
) -> None:
    for path in ("/uris", "/uris.csv", "/uris.ndjson"):
        answer = champion.post(path, json=conditions)
        assert answer.status_code == 422
        assert answer.json["message"].startswith(field), answer.json["message"]
        assert message in answer.json["message"]


@on_sql_alone
def test_nesting_has_an_end(champion: Any) -> None:
    def nested(levels: int) -> dict[str, Any]:
        return {"not": nested(levels - 1)} if levels else {"name": "a"}

    assert champion.post("/uris", json=nested(MAX_DEPTH)).status_code == 200
    for levels in (MAX_DEPTH + 1, 30, 500):
        answer = champion.post("/uris", json=nested(levels))
        assert answer.status_code == 422
        assert "levels deep" in answer.json["message"]


@on_sql_alone
def test_the_document_describes_every_condition(champion: Any) -> None:
    schemas = champion.get("/doc/openapi.json").json["components"]["schemas"]
    for name in ("SearchDataset", "Conditions"):
        described = schemas[name]["properties"]
        assert described.keys() >= CONDITIONS
        for key in CONDITIONS:
            assert described[key].get("description"), key
    assert schemas["Conditions"]["properties"]["any"]["items"] == {"$ref": "#/components/schemas/Conditions"}
    for key, field in schemas["Conditions"]["properties"].items():
        if "example" in field:
            answer = champion.post("/uris", json={key: field["example"]})
            assert answer.status_code == 200, (key, answer.json)


@on_sql_alone
def test_query_strings_stay_as_they_are(champion: Any) -> None:
    answer = champion.get("/uris?name=rice")
    assert answer.status_code == 422
    assert "name: Unknown parameter" in answer.json["message"]


def test_the_answer_is_of_what_one_may_see(reader: Any, nobody: Any, champion: Any, lab: None) -> None:
    query = {"not": {"name": "nothing"}}
    assert len(champion.post("/uris", json=query).json) == len(reader.post("/uris", json=query).json) == 3
    assert nobody.post("/uris", json=query).json == []
