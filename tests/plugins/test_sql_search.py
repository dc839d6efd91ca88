"""What is particular about the sql search plugin on SQLite; what it shares with the others is in test_search.py."""

from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app
from flask_smorest.pagination import PaginationParameters

from dservercore.db import sql_db
from dservercore.errors import ConfigurationError, UnknownURIError
from dservercore.models import Dataset
from dservercore.plugins.sql import fts5, fts5_search
from dservercore.plugins.sql.search import SqlSearch
from dservercore.rest.sort import SortParameters

RED, BLUE = "s3://red", "s3://blue"
UUID = "8ecd8e05-558a-48e2-b563-0c9ea273e71e"


pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.mark.parametrize("sort", ["uri", "-name", "created_at", "-relevance", "base_uri"])
@pytest.mark.parametrize("text", ["text", "absent", "text -common"])
def test_few_statements(hundred: Any, statements: list[str], text: str, sort: str) -> None:
    query = {
        "free_text": text,
        "tags": ["t1"],
        "creator_usernames": ["creator1", "creator2"],
        "base_uris": [RED],
    }
    hundred.search.search(query, PaginationParameters(1, 10), SortParameters(sort))
    # By relevance: what matches, how many; how rare the words are; how much they count; what is called so; the page.
    # Where nothing is found: how many datasets have each word; words that are spelled like it, parts of it, and words
    # that begin so; how many have those; what is found then.
    assert len(statements) <= (12 if text != "text" else 5 if sort == "-relevance" else 2)


def test_registering_the_same_twice_changes_nothing(beans: Any) -> None:
    before = index_content()
    beans.register("void", RED)
    assert index_content() == before


def test_registering_without_a_row_is_an_error(shelf: Any) -> None:
    with pytest.raises(UnknownURIError):
        shelf.search.register_dataset({"uri": "s3://red/none"})


def test_what_is_rolled_back_is_not_found(beans: Any) -> None:
    before = index_content()
    beans.search.set_readme(f"{BLUE}/{UUID}", "never committed")
    sql_db.session.rollback()
    assert beans.find("committed") == []
    assert beans.find("legumes") == ["bean-harvest"]
    assert index_content() == before


def test_after_any_mix_of_changes_the_index_is_as_if_made_anew(shelf: Any, tmp_path: Path) -> None:
    chance = random.Random(7)
    registered = {}
    for _ in range(400):
        n = chance.randrange(30)
        uri = f"{RED}/{uuid.UUID(int=n)}"
        if uri not in registered or chance.random() < 0.2:
            info = {
                "uuid": str(uuid.UUID(int=n)),
                "readme": sentence(chance),
                "annotations": {sentence(chance): [1, sentence(chance)]},
                "tags": list(dict.fromkeys(sentence(chance).split())),
                "files": [sentence(chance) for _ in range(3)],
                "uploaded_by": chance.choice([None, "rita"]),
            }
            shelf.register(f"name-{chance.randrange(9)}", RED, **info)
            registered[uri] = info
            continue
        change = chance.choice(["tags", "readme", "annotations", "delete"])
        if change == "delete":
            shelf.delete(uri)
            del registered[uri]
        else:
            value = {
                "tags": list(dict.fromkeys(sentence(chance).split())),
                "readme": sentence(chance),
                "annotations": {"a": sentence(chance)},
            }
            getattr(shelf, f"set_{change}")(uri, value[change])
    assert registered
    changed = index_content()
    rebuild_index()
    assert index_content() == changed


def test_edits_of_one_dataset_at_the_same_time_leave_the_index_whole(shelf: Any) -> None:
    uri = shelf.register()
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def edit(number: int) -> None:
        with app.app_context():
            for n in range(20):
                shelf.search.set_readme(uri, f"thread {number} edit {n}")
                sql_db.session.commit()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(edit, range(4)))
    left = index_content()
    rebuild_index()
    assert index_content() == left
    assert shelf.find("edit 19") == ["bean-harvest"]


def sentence(chance: random.Random) -> str:
    words = "bean beans harvest harvesting soil données 基因 37.5 U00096.3 the sequence sequences".split()  # noqa: SIM905
    return " ".join(chance.choices(words, k=chance.randrange(8)))


def index_content() -> list[tuple[Any, ...]]:
    """Every token of every dataset in the index: row id, column, position, token."""
    connection = sql_db.session.connection()
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE temp.tokens USING fts5vocab(main, search_index, instance)"
    )
    rows = connection.exec_driver_sql(
        "SELECT doc, col, offset, term FROM temp.tokens ORDER BY 1, 2, 3, 4"
    ).all()
    connection.exec_driver_sql("DROP TABLE temp.tokens")
    sql_db.session.rollback()
    return [tuple(row) for row in rows]


def rebuild_index() -> None:
    """Empty the index and fill it with what ``search_document`` says is in it."""
    connection = sql_db.session.connection()
    connection.exec_driver_sql("INSERT INTO search_index (search_index) VALUES ('delete-all')")
    for row in connection.exec_driver_sql(
        "SELECT dataset_id AS id, tokens, version FROM search_document"
    ).all():
        fts5._put_in([(row.id, fts5._unpacked(row.tokens))], row.version)
    sql_db.session.commit()


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    "database",
    [
        "mariadb://u:secret@localhost/x",
        "mysql+pymysql://u:secret@localhost/x",
        "oracle://u:secret@localhost/x",
    ],
)
def test_other_databases_are_refused_in_one_line(database: str) -> None:
    app = Flask("refused")
    app.config["SQLALCHEMY_DATABASE_URI"] = database
    with pytest.raises(ConfigurationError, match="DSERVER_SEARCH_PLUGIN") as refused:
        SqlSearch().init_app(app)
    assert "\n" not in refused.value.message
    assert "mongo" in refused.value.message
    assert "secret" not in refused.value.message


def test_ready_says_whether_the_index_is_there(shelf: Any) -> None:
    assert shelf.search.ready() is None
    sql_db.session.connection().exec_driver_sql("DROP TABLE search_index")
    assert shelf.search.ready() == "the search index is missing"


@pytest.fixture
def many(shelf: Any) -> Any:
    """More than a few datasets that match, some in base URIs whose names begin alike."""
    chance = random.Random(3)
    bases = ["s3://a", "s3://a-b", "s3://c", "s3://d"]
    for n in range(240):
        identifier = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        shelf.register(f"sample{n}", bases[n % 4], uuid=identifier, readme="text " + "odd" * (n % 2))
    return shelf


@pytest.mark.parametrize("pays", [True, False])
@pytest.mark.parametrize("base_uris", [["s3://c", "s3://d"], ["s3://a", "s3://a-b"], ["s3://a-b", "s3://d"]])
@pytest.mark.parametrize("sort", ["uri", "-uri", "-uri,name", "name", "-base_uri"])
def test_every_way_to_find_a_page_finds_the_same(
    many: Any, monkeypatch: pytest.MonkeyPatch, pays: bool, base_uris: list[str], sort: str
) -> None:
    every = list(sql_db.session.scalars(sql_db.select(Dataset.uri)))
    inside = [uri for uri in every if uri.rpartition("/")[0] in base_uris]
    by = (lambda uri: (uri.rpartition("/")[0], [-ord(c) for c in uri])) if "base" in sort else str
    if sort == "name":
        names = dict(sql_db.session.execute(sql_db.select(Dataset.uri, Dataset.name)).all())
        by = names.__getitem__
    wanted = sorted(inside, key=by, reverse=sort.startswith("-"))
    monkeypatch.setattr(fts5_search, "_pays_to_walk", lambda *_: pays and "base" not in sort)
    found = []
    for page in range(1, 14):
        pagination = PaginationParameters(page, 10)
        query = {"free_text": "text", "base_uris": base_uris}
        found += [d["uri"] for d in many.search.search(query, pagination, SortParameters(sort))]
        assert pagination.item_count == len(wanted) == 120
    assert found == wanted


def test_few_matches_are_looked_for_once(many: Any, statements: list[str]) -> None:
    query = {"free_text": "sample7", "base_uris": ["s3://a", "s3://a-b", "s3://c", "s3://d"]}
    found = many.search.search(query, PaginationParameters(1, 10), SortParameters("uri"))
    assert [dataset["name"] for dataset in found] == ["sample7"]
    assert sum("MATCH" in statement for statement in statements) == 1
