"""Figures of a scope, and what descriptions lack, are what counting every dataset gives."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from dservercore import db, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, deletion, lacks, metadata, registration, statistics, summary
from dservercore.catalog.scope import OPERATOR, Scope
from dservercore.dataset.lacking import LACKS
from dservercore.dataset.times import timestamp_to_datetime
from dservercore.errors import ValidationError
from support.databases import new_database
from support.world import BLUE, RED, dataset_info

GREEN = "s3://green"

#: READMEs, and what they lack.
READMES = {
    "": {"readme", "description", "owner", "licence"},
    "---\n": {"readme", "description", "owner", "licence"},
    "Just words, with an owner and a licence.": {"description", "owner", "licence"},
    "description: beans": {"owner", "licence"},
    "description: beans\nowners:\n  - name: Olga\nlicense: CC0": set(),
    "description: beans\nowners:\n  - name:\n    email: ''\nlicence: null\n": {"owner", "licence"},
    "Description: beans\nOwner: Olga\nLicenses: [MIT]": set(),
    "project:\n  owner: Olga\n  license: MIT\ndescription: x": {"owner", "licence"},
    "owner: Olga\nbroken: [": {"description", "licence"},
    "{owners: [Olga], license: '', description: x}": {"licence"},
    "owners: []\nlicense: {name: MIT}": {"description", "owner"},
    "anybody: &olga Olga\nowner: *olga": {"description", "licence"},
    "? [owner]\n: Olga": {"description", "owner", "licence"},
    "owner: " + "[" * 3000: {"description", "owner", "licence"},
}
MOMENTS = (0.0, 1536238185.0, 1577836799.0, 1577836800.0, 1780000000.0)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def config(request: pytest.FixtureRequest, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if request.param == "sqlite":
        yield config
        return
    # On MariaDB, descriptions are kept elsewhere.
    more = request.getfixturevalue("mongo_settings") if request.param == "mariadb" else {}
    with new_database(request.param) as address:
        yield {**config, **more, "SQLALCHEMY_DATABASE_URI": address}


@pytest.fixture
def within(app: Flask) -> Iterator[None]:
    with app.app_context():
        for base_uri in (RED, BLUE, GREEN):
            base_uris.add_base_uri(base_uri)
        db.commit()
        yield
        sql_db.session.remove()


class Model:
    """The datasets as a plain dictionary, and the figures by reading every one."""

    def __init__(self) -> None:
        self.datasets: dict[str, dict[str, Any]] = {}

    def lacking(self, dataset: dict[str, Any]) -> set[str]:
        return READMES[dataset["readme"]] | (set() if dataset["tags"] else {"tags"})

    def lacking_counts(self, datasets: list[dict[str, Any]]) -> dict[str, int]:
        found = [self.lacking(dataset) for dataset in datasets]
        return {
            "any": sum(map(bool, found)),
            **{lack: sum(lack in each for each in found) for lack in LACKS},
            "unread": 0,
        }

    def figures(self, seen: list[dict[str, Any]]) -> dict[str, int]:
        return {"datasets": len(seen), "size_in_bytes": sum(each["size_in_bytes"] or 0 for each in seen)}

    def require(self, names: set[str]) -> None:
        scope = operator_scope("search").narrowed_to(names)
        seen = [each for each in self.datasets.values() if each["base_uri"] in names]
        found = statistics.of_scope(scope, 100)
        totals = self.figures(seen)
        assert found["number_of_datasets"] == totals["datasets"]
        assert found["total_size_in_bytes"] == totals["size_in_bytes"]
        assert found["number_of_items"] == sum(each["number_of_items"] or 0 for each in seen)
        assert found["lacking"] == self.lacking_counts(seen)
        assert {each["base_uri"] for each in found["base_uris"]} == names
        for each in found["base_uris"]:
            there = [one for one in seen if one["base_uri"] == each["base_uri"]]
            assert each == {
                "base_uri": each["base_uri"],
                **self.figures(there),
                "number_of_items": sum(one["number_of_items"] or 0 for one in there),
                "lacking": self.lacking_counts(there),
            }
        by_creator = {one["creator_username"]: [] for one in seen}
        by_month: dict[str, list[dict[str, Any]]] = {}
        by_tag: dict[str, list[dict[str, Any]]] = {}
        for one in seen:
            by_creator[one["creator_username"]].append(one)
            by_month.setdefault(f"{timestamp_to_datetime(one['frozen_at']):%Y-%m}", []).append(one)
            for tag in one["tags"]:
                by_tag.setdefault(tag, []).append(one)
        assert {each.pop("creator_username"): each for each in found["creators"]} == {
            name: {**self.figures(theirs), "lacking": self.lacking_counts(theirs)}
            for name, theirs in by_creator.items()
        }
        assert {each.pop("creator_username"): each for each in found["creators_lacking"]} == {
            name: {"datasets": len(theirs), "lacking": self.lacking_counts(theirs)}
            for name, theirs in by_creator.items()
            if self.lacking_counts(theirs)["any"]
        }
        assert found["months"] == [
            {"month": month, **self.figures(by_month[month])} for month in sorted(by_month)
        ]
        assert {each.pop("tag"): each for each in found["tags"]} == {
            tag: self.figures(theirs) for tag, theirs in by_tag.items()
        }
        assert (found["number_of_creators"], found["number_of_tags"]) == (len(by_creator), len(by_tag))
        self.require_lists(scope, seen)

    def require_lists(self, scope: Scope, seen: list[dict[str, Any]]) -> None:
        for lack in (None, *LACKS):
            for creator in (None, "olga"):
                wanted = {
                    each["uri"]
                    for each in seen
                    if (lack in self.lacking(each) if lack else self.lacking(each))
                    and creator in (None, each["creator_username"])
                }
                listed: list[dict[str, Any]] = []
                total = len(wanted)
                for start in range(0, total + 1, 7):
                    page, total = statistics.list_lacking(scope, lack, creator, slice(start, start + 7))
                    listed += page
                assert total == len(wanted)
                assert [each["uri"] for each in listed] == list(dict.fromkeys(e["uri"] for e in listed))
                assert {each["uri"] for each in listed} == wanted
                for each in listed:
                    assert set(each["lacking"]) == self.lacking(self.datasets[each["uri"]])


def walk(model: Model, chance: random.Random, uri: str) -> None:
    scope = operator_scope("register")
    act = chance.choice(["register", "register", "readme", "tags", "delete"])
    tags = chance.sample(["pear", "plum", "2026"], chance.randint(0, 2))
    readme = chance.choice(list(READMES))
    if act == "register":
        base_uri, identifier = uri.rsplit("/", 1)
        info = dataset_info(
            base_uri,
            uuid=identifier,
            readme=readme,
            tags=tags,
            creator_username=chance.choice(["olga", "pim"]),
            frozen_at=chance.choice(MOMENTS),
            size_in_bytes=chance.choice([None, 0, 7, 2**62]),
            number_of_items=chance.choice([None, 0, 3]),
        )
        registration.register_dataset(OPERATOR, scope, info)
        model.datasets[uri] = info
    elif uri in model.datasets:
        if act == "readme":
            metadata.replace_readme([scope], uri, readme)
            model.datasets[uri]["readme"] = readme
        elif act == "tags":
            metadata.replace_tags([scope], uri, tags)
            model.datasets[uri]["tags"] = tags
        else:
            deletion.delete_dataset(scope, uri)
            del model.datasets[uri]
    db.commit()


@pytest.mark.usefixtures("within")
class TestFigures:
    def test_they_are_those_of_every_dataset_whatever_is_done(self) -> None:
        model, chance = Model(), random.Random(7)
        uris = [f"{b}/{uuid.UUID(int=n)}" for b in (RED, BLUE) for n in range(15)]
        for _ in range(90):
            walk(model, chance, chance.choice(uris))
        for names in ({RED, BLUE, GREEN}, {RED}, {GREEN}, set()):
            model.require(names)
        assert not summary.is_miscounted()
        summary.recount()
        model.require({RED, BLUE, GREEN})
        # What is noted is lost, as after an upgrade, and read again.
        sql_db.session.execute(text("UPDATE dataset SET lacks = NULL"))
        summary.recount()
        db.commit()
        number = len(model.datasets)
        assert statistics.of_scope(operator_scope("search"))["lacking"] == {
            **dict.fromkeys(("any", *LACKS), 0),
            "unread": number,
        }
        assert lacks.number_unread() == number
        assert lacks.read_again() == 0
        model.require({RED, BLUE, GREEN})
        assert not summary.is_miscounted()

    def test_the_newest_are_those_that_were_registered_last(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = [dataset_info(base_uri, name=f"n{n}") for n in range(7) for base_uri in (RED, BLUE)]
        for info in made:
            registration.register_dataset(OPERATOR, operator_scope("register"), info)
        registration.register_dataset(OPERATOR, operator_scope("register"), made[0])  # is there already
        db.commit()
        for few in (5000, 0):
            monkeypatch.setattr(statistics, "_FEW", few)
            found = statistics.newest(operator_scope("search"))
            assert [each["uri"] for each in found] == [info["uri"] for info in reversed(made[-10:])]
            red = statistics.newest(operator_scope("search").narrowed_to([RED]))
            assert [each["uri"] for each in red] == [info["uri"] for info in reversed(made[::2])]

    def test_lists_are_as_long_as_is_wanted(self) -> None:
        for n in range(5):
            info = dataset_info(RED, creator_username=f"c{n}", tags=[f"t{m}" for m in range(n + 1)])
            registration.register_dataset(OPERATOR, operator_scope("register"), info)
        db.commit()
        found = statistics.of_scope(operator_scope("search"), 2)
        assert [each["tag"] for each in found["tags"]] == ["t0", "t1"]
        assert [each["creator_username"] for each in found["creators"]] == ["c0", "c1"]
        assert [each["base_uri"] for each in found["base_uris"]] == [RED, BLUE]
        numbers = found["number_of_tags"], found["number_of_creators"], found["number_of_base_uris"]
        assert numbers == (5, 5, 3)

    def test_what_lacks_most_comes_first(self) -> None:
        names = {"c": "owner: x", "a": "", "b": "description: x"}
        for name, readme in names.items():
            info = dataset_info(RED, name=name, readme=readme)
            registration.register_dataset(OPERATOR, operator_scope("register"), info)
        db.commit()
        found, total = statistics.list_lacking(operator_scope("search"))
        assert ([each["name"] for each in found], total) == (["a", "c", "b"], 3)


@pytest.mark.usefixtures("within")
class TestCosts:
    def test_they_are_exact_and_by_currency(self) -> None:
        size = 1_234_567_890_123
        for base_uri in (RED, RED, BLUE, GREEN):
            info = dataset_info(base_uri, size_in_bytes=size)
            registration.register_dataset(OPERATOR, operator_scope("register"), info)
        base_uris.set_price(RED, {"price_per_tb": "45.0500", "currency": "EUR"})
        base_uris.set_price(BLUE, {"price_per_tb": 0.1, "currency": "usd"})
        db.commit()
        found = statistics.of_scope(operator_scope("search"))
        prices = {
            each["base_uri"]: [each.get(key) for key in ("price_per_tb", "currency", "cost_per_year")]
            for each in found["base_uris"]
        }
        # 2 * 1.234567890123 * 45.05 = 111.2345669...
        assert prices == {
            RED: ["45.05", "EUR", "111.23"],
            BLUE: ["0.1", "USD", "0.12"],
            GREEN: [None, None, None],
        }
        assert found["cost_per_year"] == {"EUR": "111.23", "USD": "0.12"}
        only_green = statistics.of_scope(operator_scope("search").narrowed_to([GREEN]))
        assert only_green["cost_per_year"] == {}

    def test_a_price_is_changed_in_part_and_taken_away(self) -> None:
        def price() -> tuple[Any, Any]:
            found = base_uris.get_base_uri(RED)
            return found.get("price_per_tb"), found.get("currency")

        assert base_uris.set_price(RED, {"price_per_tb": "45", "currency": "EUR"})
        assert not base_uris.set_price(RED, {"price_per_tb": 45.0, "currency": "eur"})
        assert base_uris.set_price(RED, {"price_per_tb": "999999999999.9999"})
        assert price() == ("999999999999.9999", "EUR")
        assert base_uris.set_price(RED, {"currency": "JPY"})
        assert price() == ("999999999999.9999", "JPY")
        assert base_uris.set_price(RED, {"price_per_tb": None})
        assert price() == (None, None)

    def test_what_is_no_price_is_refused(self) -> None:
        numbers = ("", "x", "-1", -1, "NaN", "Infinity", float("inf"), True, "1e12", "0.00001", [])
        wrong = [
            *(({"price_per_tb": number, "currency": "EUR"}, "price_per_tb") for number in numbers),
            *(
                ({"price_per_tb": 1, "currency": code}, "currency")
                for code in ("", "EURO", "XXX", "€", 7, None)
            ),
            ({"price_per_tb": 1}, "currency"),
            ({"currency": "EUR"}, "price_per_tb"),
            ({"price_per_tb": None, "currency": "EUR"}, "price_per_tb"),
        ]
        for price, field in wrong:
            with pytest.raises(ValidationError) as caught:
                base_uris.set_price(RED, price)
            assert list(caught.value.errors or {}) == [field], price
            assert "price_per_tb" not in base_uris.get_base_uri(RED)
