"""Summary figures, kept by the writes, are what counting everything anew would give."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest
from flask import Flask

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, deletion, metadata, registration, summary
from dservercore.catalog.scope import OPERATOR, Actor, Scope
from support.world import BLUE, RED, dataset_info

GREEN = "s3://green"
OPERATIONS = 3000


class Model:
    """The datasets as a plain dictionary, and the summary of them by reading every one."""

    def __init__(self) -> None:
        self.datasets: dict[str, dict[str, Any]] = {}

    def summary(self, base_uris_: set[str]) -> dict[str, Any]:
        seen = [d for d in self.datasets.values() if d["base_uri"] in base_uris_]
        values = {
            "creator": ("creator_usernames", lambda d: [d["creator_username"]]),
            "base_uri": ("base_uris", lambda d: [d["base_uri"]]),
            "tag": ("tags", lambda d: d["tags"]),
            "uploader": ("uploaders", lambda d: [d["uploaded_by"]] if d["uploaded_by"] else []),
        }
        expected: dict[str, Any] = {
            "number_of_datasets": len(seen),
            "total_size_in_bytes": sum(d["size_in_bytes"] or 0 for d in seen),
        }
        for kind, (plural, values_of) in values.items():
            found = sorted({value for d in seen for value in values_of(d)})
            expected[plural] = found
            expected[f"datasets_per_{kind}"] = {v: sum(v in values_of(d) for d in seen) for v in found}
            expected[f"size_in_bytes_per_{kind}"] = {
                v: sum(d["size_in_bytes"] or 0 for d in seen if v in values_of(d)) for v in found
            }
        return expected


class Walk:
    """Random operations, done to the server and to the model alike."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.model = Model()
        self.uris = [f"{b}/{uuid.UUID(int=n)}" for b in (RED, BLUE, GREEN) for n in range(40)]

    def step(self) -> None:
        operation = self.random.choices(
            [self.register, self.delete, self.replace_tags, self.add_tag, self.remove_tag], [5, 2, 1, 2, 1]
        )[0]
        operation(self.random.choice(self.uris), operator_scope("register"))

    def tags(self) -> list[str]:
        return self.random.sample(["apple", "pear", "plum", "2026"], self.random.randint(0, 4))

    def register(self, uri: str, scope: Scope) -> None:
        base_uri, identifier = uri.rsplit("/", 1)
        info = dataset_info(
            base_uri,
            uuid=identifier,
            creator_username=self.random.choice(["olga", "pim", "quin"]),
            size_in_bytes=self.random.choice([None, 0, 7, 2**32, 2**63 - 1, self.random.randrange(2**40)]),
            tags=self.tags(),
        )
        actor = self.random.choice([OPERATOR, Actor("carl"), Actor("rita")])
        is_new = registration.register_dataset(actor, scope, info)
        assert is_new is (uri not in self.model.datasets)
        self.model.datasets[uri] = {**info, "uploaded_by": actor.username}

    def delete(self, uri: str, scope: Scope) -> None:
        assert deletion.delete_dataset(scope, uri) is (self.model.datasets.pop(uri, None) is not None)

    def replace_tags(self, uri: str, scope: Scope) -> None:
        if uri in self.model.datasets:
            tags = self.tags()
            assert metadata.replace_tags([scope], uri, tags) == tags
            self.model.datasets[uri]["tags"] = tags

    def add_tag(self, uri: str, scope: Scope) -> None:
        if uri in self.model.datasets:
            self.model.datasets[uri]["tags"] = metadata.add_tag([scope], uri, "added")

    def remove_tag(self, uri: str, scope: Scope) -> None:
        if uri in self.model.datasets:
            self.model.datasets[uri]["tags"] = metadata.remove_tag([scope], uri, "apple")


@pytest.fixture
def walk(app: Flask, people: None) -> Walk:
    with app.app_context():
        base_uris.add_base_uri(GREEN)
        sql_db.session.commit()
    return Walk(seed=20261123)


def test_figures_are_exact_after_thousands_of_random_operations(app: Flask, walk: Walk) -> None:
    with app.app_context():
        for n in range(OPERATIONS):
            walk.step()
            if n % 500 == 499:
                sql_db.session.commit()
                compare(walk.model)
    with app.app_context():
        compare(walk.model)


def test_counting_anew_gives_what_the_writes_counted(app: Flask, walk: Walk) -> None:
    with app.app_context():
        for _ in range(300):
            walk.step()
        before = summary.summarise(operator_scope("search"))
        summary.recount()
        assert summary.summarise(operator_scope("search")) == before
        assert before["number_of_datasets"] == len(walk.model.datasets) > 0


def test_nothing_is_undone_by_an_operation_that_fails(app: Flask, walk: Walk) -> None:
    with app.app_context():
        for _ in range(50):
            walk.step()
        sql_db.session.commit()
        registration.register_dataset(OPERATOR, operator_scope("register"), dataset_info(RED))
        sql_db.session.rollback()
        compare(walk.model)


def compare(model: Model) -> None:
    everything = operator_scope("search")
    for some in ({RED, BLUE, GREEN}, {RED}, {BLUE, GREEN}, set()):
        scope = everything.narrowed_to(some)
        expected = model.summary(some)
        assert summary.summarise(scope) == expected
        held = {uri: number for uri, number in summary.datasets_per_base_uri(scope).items() if number}
        assert held == expected["datasets_per_base_uri"]
