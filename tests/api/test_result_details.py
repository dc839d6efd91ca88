"""``include`` and ``group`` of ``/uris``: what a dataset is, why it was found, and where its copies are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.conftest import on_every_store, on_sql_alone, pagination, route
from dservercore.catalog import lookup
from support.world import BLUE, CHAMPION, READER, RED, dataset_info

pytestmark = on_every_store

KEYS = {
    "base_uri", "uri", "uuid", "name", "creator_username", "created_at", "frozen_at",
    "number_of_items", "size_in_bytes", "uploaded_by", "uploaded_at",
}  # fmt: skip
UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28337"


def matches(answer, number=0):
    """Return the matches of a dataset: field, excerpt, and what is highlighted in that."""
    assert answer.status_code == 200, answer.json
    return [
        (each["field"], each["excerpt"], [each["excerpt"][start:end] for start, end in each["highlights"]])
        for each in answer.json[number]["matches"]
    ]


def manifest(*paths):
    items = {
        f"{n:040x}": {"relpath": path, "hash": "x", "size_in_bytes": 1, "utc_timestamp": 1.0}
        for n, path in enumerate(paths)
    }
    return {"dtoolcore_version": "3", "hash_function": "md5sum_hexdigest", "items": items}


class TestInclude:
    def test_without_it_nothing_is_added(self, champion, register):
        register()
        for path in ("/uris", "/uris?free_text=greenhouse", "/uris?include=", "/uris?include=,"):
            assert champion.get(path).json[0].keys() == KEYS

    @pytest.mark.parametrize(
        "details", ["description", "tags,matches", "matches, description,tags", "tags,tags"]
    )
    def test_what_is_asked_for_is_added(self, champion, register, details):
        register()
        wanted = {word.strip() for word in details.split(",")}
        for answer in (
            champion.get("/uris", query_string={"include": details}),
            champion.get("/uris", query_string={"include": details, "free_text": "greenhouse"}),
            champion.post("/uris", query_string={"include": details}, json={"free_text": "greenhouse"}),
            champion.post("/uris", query_string={"include": details}, json={"tags": ["beans"]}),
        ):
            assert answer.json[0].keys() == KEYS | wanted

    def test_something_unknown_is_named(self, champion):
        answer = champion.get("/uris?include=tags,readme")
        assert answer.status_code == 422
        assert "readme" in answer.json["message"]
        assert "description, tags, matches" in answer.json["message"]

    @pytest.mark.parametrize(
        ("readme", "description"),
        [
            ("description: Beans from the greenhouse\n", "Beans from the greenhouse"),
            ("project: x\ndescription: |\n  Two\n  lines\n", "Two lines"),
            ('---\ndescription: "M\\xFCller\'s"\n', "Müller's"),
            ("project: legumes\nyear: 2026\n", "project: legumes year: 2026"),
            ("Just   a text\n\nof two paragraphs", "Just a text of two paragraphs"),
            ("", ""),
            ("description: [no, text]\n", "description: [no, text]"),
            ("description: broken: yaml: {", "description: broken: yaml: {"),
            ("long " * 100, "long " * 59 + "long…"),
            ("description: " + "long " * 10_000, "long " * 59 + "long…"),
            ("x" * 1000, "x" * 300 + "…"),
        ],
    )
    def test_a_description(self, champion, register, readme, description):
        register(readme=readme)
        assert champion.get("/uris?include=description").json[0]["description"] == description

    def test_tags_are_sorted(self, champion, register):
        register(tags=["pods", "2026", "Beans"])
        register(tags=[])
        found = champion.get("/uris?include=tags&sort=created_at").json
        assert sorted(dataset["tags"] for dataset in found) == [[], ["2026", "Beans", "pods"]]


class TestMatches:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("harvests", [("name", "bean-harvest", ["harvest"])]),
            ("GREENHOUSES", [("readme", "description: Beans from the greenhouse", ["greenhouse"])]),
            ("2026", [("tags", "2026", ["2026"])]),
            ("loam", [("annotations", "soil: loam", ["loam"])]),
            ("annotation:soil", [("annotations", "soil: loam", ["soil"])]),
            ("pods", [("file", "pods/U00096.3.rev.1.bt2", ["pods"])]),
            ("U00096.3.rev", [("file", "pods/U00096.3.rev.1.bt2", ["U00096.3.rev"])]),
            ("*.bt2", [("file", "pods/U00096.3.rev.1.bt2", ["pods/U00096.3.rev.1.bt2"])]),
            ("olga", [("creator", "olga", ["olga"])]),
            ("creator:olga", [("creator", "olga", ["olga"])]),
            (UUID, [("uri", f"{RED}/{UUID}", [UUID])]),
            (f"uuid:{UUID}", [("uri", f"{RED}/{UUID}", [UUID])]),
            ("base:RED", [("uri", f"{RED}/{UUID}", ["red"])]),
            ("name:bean", [("name", "bean-harvest", ["bean"])]),
            ('"the greenhouse"', [("readme", "description: Beans from the greenhouse", ["the greenhouse"])]),
            ("size:>1", []),
            ("-nothing", []),
            (
                "bean",
                [
                    ("name", "bean-harvest", ["bean"]),
                    ("tags", "beans", ["beans"]),
                    ("readme", "description: Beans from the greenhouse", ["Beans"]),
                ],
            ),
        ],
    )
    def test_where_it_stands(self, champion, register, text, found):
        register(uuid=UUID)
        query = {"free_text": text, "include": "matches"}
        assert matches(champion.get("/uris", query_string=query)) == found

    @pytest.mark.parametrize(
        ("text", "highlighted"),
        [
            ("greenhuose", ["greenhouse"]),  # corrected
            ("greenh", ["greenhouse"]),  # completed
            ("green house", ["greenhouse"]),  # joined
            ("the greenhouse of unheardof", ["greenhouse"]),  # without what is not there
            ("greenhouse zebra", ["greenhouse"]),
        ],
    )
    def test_it_follows_what_was_answered(self, champion, register, text, highlighted):
        register()
        query = {"free_text": text, "include": "matches", "sort": "relevance"}
        [(field, _, shown)] = matches(champion.get("/uris", query_string=query))
        assert (field, shown) == ("readme", highlighted)

    def test_an_excerpt_of_a_long_readme_is_short_and_has_the_words(self, champion, register):
        register(readme="straw " * 2000 + "\nTwo ne\u0301edles\tin\r\nhaystacks " + "hay " * 20_000)
        answer = champion.get("/uris?free_text=needle haystack&include=matches&sort=uri")
        [(field, excerpt, shown)] = matches(answer)
        assert (field, shown) == ("readme", ["ne\u0301edles", "haystacks"])
        assert len(excerpt) <= 240
        assert excerpt.startswith("straw ")
        assert "\n" not in excerpt

    def test_words_far_apart_have_an_excerpt_each(self, champion, register):
        register(readme="one needle " + "straw " * 500 + "one haystack")
        found = matches(champion.get("/uris?free_text=needle haystack&include=matches"))
        assert [shown for _, _, shown in found] == [["needle"], ["haystack"]]

    def test_what_is_written_with_escapes_is_shown_as_it_is_read(self, champion, register):
        register(readme='who: "M\\xFCller"\n')
        assert matches(champion.get("/uris?free_text=muller&include=matches")) == [
            ("readme", "who Müller", ["Müller"])
        ]

    def test_nothing_is_taken_for_markup(self, champion, register):
        register(readme="<b>needle</b> & <script>")
        [(_, excerpt, shown)] = matches(champion.get("/uris?free_text=needle&include=matches"))
        assert (excerpt, shown) == ("<b>needle</b> & <script>", ["needle"])

    def test_places_are_code_points(self, champion, register):
        register(readme="\U0001f600\U0001f600 needle")
        answer = champion.get("/uris?free_text=needle&include=matches")
        assert answer.json[0]["matches"] == [
            {"field": "readme", "excerpt": "\U0001f600\U0001f600 needle", "highlights": [[3, 9]]}
        ]

    def test_no_more_than_a_few_of_each(self, champion, register):
        register(
            readme="",
            tags=[f"bean-{n}" for n in range(20)],
            annotations={f"bean{n}": {"inner": [1, 2]} for n in range(20)},
            manifest=manifest(*(f"bean/{n}.txt" for n in range(500))),
        )
        found = matches(champion.get("/uris?free_text=tag:bean annotation:bean* file:bean&include=matches"))
        assert [field for field, *_ in found] == ["tags"] * 3 + ["annotations"] * 3 + ["file"] * 3
        assert found[3] == ("annotations", "bean0.inner: 1, 2", ["bean"])

    def test_names_of_files_with_signs_in_them(self, champion, register):
        register(manifest=manifest('a "needle" \\ ü.txt', "x.txt"))
        assert matches(champion.get("/uris?free_text=file:needle&include=matches")) == [
            ("file", 'a "needle" \\ ü.txt', ["needle"])
        ]


class TestGroup:
    @pytest.fixture(autouse=True)
    def three(self, register):
        for base_uri in (RED, BLUE):
            register(base_uri, uuid=UUID, name=f"copy-{base_uri[-1]}")
        register(RED, name="alone", uuid="11111111-1111-4111-8111-111111111111")

    @pytest.mark.parametrize(
        "query", [{}, {"free_text": "greenhouse"}, {"free_text": "greenhuose"}, {"tags": ["beans"]}]
    )
    def test_copies_are_one(self, reader, query):
        options = {"group": "uuid", "sort": "-name"}
        for answer in (
            reader.get("/uris", query_string={**query, **options}),
            reader.post("/uris", query_string=options, json=query),
        ):
            assert pagination(answer)["total"] == 2
            assert [dataset["name"] for dataset in answer.json] == ["copy-e", "alone"]
            assert answer.json[0].keys() == KEYS | {"copies"}
            assert answer.json[0]["copies"] == [
                {"uri": f"{base_uri}/{UUID}", "base_uri": base_uri} for base_uri in (BLUE, RED)
            ]
            assert len(answer.json[1]["copies"]) == 1

    @pytest.mark.parametrize(
        "sort", ["uri", "-uri", "name", "-base_uri", "base_uri,name", "-created_at", "uuid", "-uuid"]
    )
    @pytest.mark.parametrize("text", [None, "greenhouse"])
    def test_the_first_in_the_order_stands_for_all(self, reader, sort, text):
        query = {"sort": sort, **({"free_text": text} if text else {})}
        everything = reader.get("/uris", query_string=query).json
        first = {}
        for dataset in everything:
            first.setdefault(dataset["uuid"], dataset["uri"])
        pages = [
            reader.get("/uris", query_string={**query, "group": "uuid", "page_size": 1, "page": page}).json
            for page in (1, 2)
        ]
        assert [dataset["uri"] for page in pages for dataset in page] == list(first.values())

    def test_no_dataset_of_the_first_pages_is_asked_for_copies_before_it(self, reader, statements):
        """That would take most of the time of a page: it was 33 ms of 50 with 10,000 datasets."""
        with statements() as executed:
            assert len(reader.get("/uris?group=uuid&page_size=1&page=2").json) == 1
        assert not [each for each in executed.executed if "EXISTS" in str(each)]

    def test_more_copies_than_are_looked_at(self, reader, monkeypatch):
        monkeypatch.setattr(lookup, "COPIES_LOOKED_AT", 1)
        answer = reader.get("/uris?group=uuid&sort=-name&page_size=2")
        assert [dataset["name"] for dataset in answer.json] == ["copy-e", "alone"]

    def test_a_page_behind_the_last(self, reader):
        assert reader.get("/uris?group=uuid&page=3&page_size=1").status_code == 404
        assert reader.get("/uris?group=uuid&page=3&page_size=1&free_text=greenhouse").json == []

    def test_nobody_is_told_of_copies_that_he_may_not_search(self, champion, nobody):
        for path in ("/uris?group=uuid", "/uris?group=uuid&free_text=greenhouse"):
            for dataset in champion.get(path).json:
                assert {copy["base_uri"] for copy in dataset["copies"]} == {RED}
            assert nobody.get(path).json == []

    def test_the_filter_does_not_hide_copies(self, reader):
        [dataset] = [
            each for each in reader.get(f"/uris?group=uuid&base_uris={RED}").json if each["uuid"] == UUID
        ]
        assert len(dataset["copies"]) == 2

    @pytest.mark.parametrize("value", ["", "name", "UUID"])
    def test_another_value_is_a_422(self, reader, value):
        answer = reader.get(f"/uris?group={value}")
        assert answer.status_code == 422
        assert answer.json["message"].startswith("group: ")

    def test_together_with_details(self, reader):
        answer = reader.get("/uris?group=uuid&include=tags,description,matches&free_text=greenhouse")
        assert answer.json[0].keys() == KEYS | {"copies", "tags", "description", "matches"}


class OldSearch:
    """A search plugin of a third party, with the old interface alone."""

    def __init__(self):
        self.documents = {}

    def init_app(self, app):
        pass

    def register_dataset(self, dataset_info):
        self.documents[dataset_info["uri"]] = dict(dataset_info)

    def search(self, query, pagination_parameters=None, sort_parameters=None):
        assert query.keys() <= {"free_text", "base_uris", "creator_usernames", "uuids", "tags"}
        found = [
            document
            for uri, document in sorted(self.documents.items())
            if document["base_uri"] in query["base_uris"] and query.get("free_text", "") in document["readme"]
        ]
        if pagination_parameters is None:
            return found
        pagination_parameters.item_count = len(found)
        return found[pagination_parameters.first_item : pagination_parameters.last_item + 1]

    def lookup_uris(self, uuid):
        return []


class OldRetrieve:
    """A retrieve plugin of a third party, with the old interface alone.

    :ivar is_away: whether it fails
    """

    def __init__(self):
        self.documents = {}
        self.is_away = False
        self.asked = 0

    def init_app(self, app):
        pass

    def register_dataset(self, dataset_info):
        self.documents[dataset_info["uri"]] = dict(dataset_info)

    def _get(self, uri, field):
        self.asked += 1
        if self.is_away:
            raise ConnectionError("the store is away")
        return self.documents[uri][field]

    def get_readme(self, uri):
        return self._get(uri, "readme")

    def get_manifest(self, uri):
        return self._get(uri, "manifest")

    def get_annotations(self, uri):
        return self._get(uri, "annotations")

    def get_tags(self, uri):
        return self._get(uri, "tags")


@on_sql_alone
class TestOldPlugins:
    @pytest.fixture
    def retrieve(self):
        return OldRetrieve()

    @pytest.fixture
    def reader(self, make_app, sign_in, retrieve):
        app = make_app()
        app.extensions["dservercore"] = replace(
            app.extensions["dservercore"], search=OldSearch(), retrieve=retrieve
        )
        champion = sign_in(CHAMPION, app)
        for changes in ({"uuid": UUID}, {"name": "other"}):
            info = dataset_info(RED, **changes)
            assert champion.put(route("uris", info["uri"]), json=info).status_code == 201
        reader = sign_in(READER, app)
        return reader

    def test_details_come_from_its_getters(self, reader):
        answer = reader.get("/uris?free_text=greenhouse&include=description,tags,matches")
        assert len(answer.json) == 2
        for number, dataset in enumerate(answer.json):
            assert dataset["description"] == "Beans from the greenhouse"
            assert dataset["tags"] == ["2026", "beans"]
            assert matches(answer, number) == [
                ("readme", "description: Beans from the greenhouse", ["greenhouse"])
            ]
        assert matches(reader.get("/uris?free_text=Beans from&include=matches"))[-1][0] == "readme"

    def test_copies_are_grouped_for_it(self, reader, app):
        with app.app_context():
            plugins = reader.application.extensions["dservercore"]
        copy = dict(next(iter(plugins.search.documents.values())))
        answer = reader.get("/uris?free_text=greenhouse&group=uuid&page_size=1&page=2")
        assert pagination(answer)["total"] == 2
        assert len(answer.json) == 1
        assert answer.json[0]["copies"][0]["uri"] == answer.json[0]["uri"]
        # What it has of datasets that are not registered is no copy.
        plugins.search.documents["s3://red/gone"] = {**copy, "uri": "s3://red/gone"}
        assert pagination(reader.get("/uris?free_text=greenhouse&group=uuid"))["total"] == 2

    def test_a_store_that_is_away_costs_the_excerpts_alone(self, reader, retrieve, caplog):
        retrieve.is_away, retrieve.asked = True, 0
        answer = reader.get("/uris?free_text=Beans&include=description,tags,matches")
        assert [dataset["description"] for dataset in answer.json] == ["", ""]
        assert [dataset["tags"] for dataset in answer.json] == [["2026", "beans"]] * 2
        assert {field for field, *_ in matches(answer)} <= {"name", "tags"}
        assert retrieve.asked == 1
        assert "without descriptions" in caplog.text

    def test_a_store_without_a_dataset_costs_the_excerpts_alone(self, reader, retrieve):
        retrieve.documents.clear()
        answer = reader.get("/uris?free_text=Beans&include=description,matches")
        assert [dataset["description"] for dataset in answer.json] == ["", ""]

    def test_names_tags_and_creators_are_suggested_all_the_same(self, reader):
        assert reader.get("/suggest?q=be").json == [
            {"text": 'name:"bean-harvest"', "kind": "name"},
            {"text": 'tag:"beans"', "kind": "tag"},
        ]
        assert reader.get("/suggest?q=gre").json == []
