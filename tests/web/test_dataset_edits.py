"""Editing a dataset on its pages: tags, annotations and the README, by who may, and what others and scripts meet."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
from flask import Flask
from flask.testing import FlaskClient
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from dservercore import plugin_host, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, metadata, registration
from dservercore.catalog.scope import OPERATOR
from dservercore.dataset.document import generate_dataset_info
from dservercore.errors import UnavailableError
from dservercore.web.dataset_edits import typed_values, writes
from dservercore.web.dataset_edits.differences import MOST_SHOWN, differences
from dservercore.web.dataset_edits.shown_values import MOST_CHARACTERS, shown_annotations
from dservercore.web.dataset_edits.yaml_checks import verdict_on
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED
from web.browser import client_of, complaints, enter, follow, needs_browser, run_scripts, until

pytestmark = pytest.mark.attack

HOSTILE = "</textarea><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
IN_PAGE = {"HX-Request": "true"}


@pytest.fixture
def uri(register: Callable[..., dict[str, Any]]) -> str:
    """A dataset that CHAMPION may edit and READER may see."""
    return str(register()["uri"])


@pytest.fixture
def browse(app: Flask) -> Callable[[str | None], FlaskClient]:
    """``browse(username)`` returns a browser in which somebody is signed in; None: nobody is."""

    return partial(client_of, app)


@pytest.fixture
def champion(browse: Callable[[str], FlaskClient], uri: str) -> FlaskClient:
    return browse(CHAMPION)


def path(act: str, uri: str) -> str:
    return f"/{act}/{uri.replace('://', '/')}"


def fields_of(page: Any) -> dict[str, str]:
    """Return the hidden fields of the forms of a page."""
    hidden = re.findall(r'<input[^>]* type="hidden"[^>]* name="(\w+)"[^>]* value="([^"]*)"', page.text)
    return {name: html.unescape(value) for name, value in hidden}


def send(client: FlaskClient, act: str, uri: str, query: str = "", **fields: Any) -> Any:
    """Send a form as the page of an act does that has it."""
    headers = fields.pop("headers", {})
    hidden = fields_of(client.get(path(act, uri) + query))
    return client.post(path(act, uri), data={**hidden, **fields}, headers=headers)


class Stored:
    """What the catalog holds of a dataset."""

    def __init__(self, app: Flask, uri: str):
        self.app, self.uri = app, uri

    def _of(self, field: str) -> Any:
        with self.app.app_context():
            return getattr(plugin_host.plugins().retrieve, f"get_{field}")(self.uri)

    @property
    def tags(self) -> list[str]:
        return list(self._of("tags"))

    @property
    def annotations(self) -> dict[str, Any]:
        return dict(self._of("annotations"))

    @property
    def readme(self) -> str:
        return str(self._of("readme"))

    def edit(self, act: str, *arguments: Any) -> None:
        """Do what somebody else does at the same time."""
        with self.app.app_context():
            getattr(metadata, act)([operator_scope("register")], self.uri, *arguments)
            sql_db.session.commit()


@pytest.fixture
def stored(app: Flask, uri: str) -> Stored:
    return Stored(app, uri)


class TestTags:
    def test_are_added_and_removed_and_the_page_shows_them(
        self, champion: FlaskClient, uri: str, stored: Stored
    ) -> None:
        answer = send(champion, "edit/tags", uri, tag=" soil ")
        assert (answer.status_code, answer.location) == (303, f"{path('datasets', uri)}#tags")
        assert stored.tags == ["beans", "2026", "soil"]
        page = champion.get(path("datasets", uri)).text
        assert "The tag soil is added." in page
        assert 'href="/?tags=soil"' in page
        assert send(champion, "edit/tags", uri, remove="beans").status_code == 303
        assert stored.tags == ["2026", "soil"]

    def test_several_are_added_at_once_or_none(self, champion: FlaskClient, uri: str, stored: Stored) -> None:
        send(champion, "edit/tags", uri, tag="a, b,,a")
        assert stored.tags == ["beans", "2026", "a", "b"]
        assert send(champion, "edit/tags", uri, tag="c, not a name").status_code == 422
        assert stored.tags == ["beans", "2026", "a", "b"]

    def test_very_many_are_one_write_and_what_is_said_of_them_fits_a_cookie(
        self, champion: FlaskClient, uri: str, stored: Stored, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writes: list[Any] = []
        edit = metadata.store_writes.edit
        monkeypatch.setattr(
            metadata.store_writes, "edit", lambda *given: (writes.append(given), edit(*given))[1]
        )
        tags = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(300)]
        answer = send(champion, "edit/tags", uri, tag=",".join(tags))
        assert (answer.status_code, len(writes)) == (303, 1)
        assert stored.tags == ["beans", "2026", *tags]
        # Browsers drop a larger cookie, and with it the token of all forms.
        assert all(len(cookie) < 4096 for cookie in answer.headers.getlist("Set-Cookie"))
        said = champion.get(path("datasets", uri)).text.partition('class="notice"')[2].partition("</p>")[0]
        assert f"The tags {tags[0]}, {tags[1]}" in said
        assert said.endswith("…")

    def test_nothing_is_lost_where_two_edit_at_once(
        self, champion: FlaskClient, uri: str, stored: Stored
    ) -> None:
        form = fields_of(champion.get(path("edit/tags", uri)))
        stored.edit("add_tag", "theirs")
        champion.post(path("edit/tags", uri), data={**form, "tag": "mine"})
        assert stored.tags == ["beans", "2026", "theirs", "mine"]

    @pytest.mark.parametrize(
        "wrong",
        ["two words", "", "../x", "a" * 81, HOSTILE, "größe"],
        ids=["two words", "nothing", "a path", "too long", "hostile", "an umlaut"],
    )
    def test_what_is_no_name_is_refused_and_kept_in_the_form(
        self, champion: FlaskClient, uri: str, stored: Stored, wrong: str
    ) -> None:
        answer = send(champion, "edit/tags", uri, tag=wrong)
        assert answer.status_code == 422
        assert "is not a valid name" in answer.text
        assert f'value="{html.escape(wrong)}"' in answer.text.replace("&#34;", "&quot;").replace(
            "&#39;", "&#x27;"
        )
        assert "<script>document" not in answer.text
        assert stored.tags == ["beans", "2026"]

    def test_a_script_gets_the_section_alone(self, champion: FlaskClient, uri: str) -> None:
        answer = send(champion, "edit/tags", uri, tag="soil", headers=IN_PAGE)
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert 'id="tags-status" hx-swap-oob="innerHTML">The tag soil is added.' in answer.text
        refused = send(champion, "edit/tags", uri, tag="so il", headers=IN_PAGE)
        assert refused.status_code == 422
        assert "<html" not in refused.text
        assert "HX-Request" in refused.headers["Vary"]

    def test_known_ones_are_suggested_as_far_as_one_may_see(
        self, register: Callable[..., dict[str, Any]], browse: Callable[[str | None], FlaskClient]
    ) -> None:
        register(tags=["soil-red"])
        register(tags=["soil-red", "soil-dry"])
        register(BLUE, tags=["soil-blue"])

        def offered(username: str | None, begun: str) -> list[str]:
            answer = browse(username).get("/edit/known-tags", query_string={"tag": begun})
            return re.findall(r'<option value="([^"]*)"', answer.text)

        assert offered(CHAMPION, "Soil") == ["soil-red", "soil-dry"]
        assert set(offered(READER, "soil")) == {"soil-red", "soil-dry", "soil-blue"}
        assert offered(CHAMPION, "") == ["soil-red", "soil-dry"]
        assert offered(CHAMPION, "sand") == offered(CHAMPION, "beans,so") == offered(NOBODY, "soil") == []
        assert browse(None).get("/edit/known-tags").status_code == 204

    def test_of_very_many_the_page_shows_some(
        self, register: Callable[..., dict[str, Any]], browse: Callable[[str], FlaskClient]
    ) -> None:
        uri = register(tags=[f"tag-{n}" for n in range(1000)])["uri"]
        client = browse(READER)
        page = client.get(path("datasets", uri)).text
        assert page.count('class="chip"') == 200
        assert "800 more tags" in page
        assert len(client.get(path("as-json/tags", uri)).json["tags"]) == 1000


class TestAnnotations:
    @pytest.mark.parametrize(
        ("kind", "text", "value"),
        [
            ("text", "5", "5"),
            ("text", "true", "true"),
            ("text", "", ""),
            ("text", "one\r\ntwo ", "one\ntwo "),
            ("number", " 5 ", 5),
            ("number", "9007199254740993", 9007199254740993),
            ("number", "-9223372036854775808", -(2**63)),
            ("number", "0.1", 0.1),
            ("number", "5.0", 5.0),
            ("number", "6.02e23", 6.02e23),
            ("true", "ignored", True),
            ("false", "", False),
            ("null", "", None),
            ("json", '{"a": [1, 2.50, "3", null, {"b": true}]}', {"a": [1, 2.5, "3", None, {"b": True}]}),
            ("json", '"text"', "text"),
            ("json", "[]", []),
        ],
    )
    def test_of_every_type_are_kept_exactly(
        self, champion: FlaskClient, uri: str, stored: Stored, kind: str, text: str, value: Any
    ) -> None:
        answer = send(champion, "edit/annotations", uri, name="x", type=kind, value=text)
        assert (answer.status_code, answer.location) == (303, f"{path('datasets', uri)}#annotations")
        assert stored.annotations == {"soil": "loam", "x": value}
        assert type(stored.annotations["x"]) is type(value)
        form = fields_of(champion.get(path("edit/annotations", uri) + "?name=x"))
        kind_shown, text_shown = typed_values.typed(value)
        again = {**form, "name": "x", "type": kind_shown, "value": text_shown.replace("\n", "\r\n")}
        assert champion.post(path("edit/annotations", uri), data=again).status_code == 303
        assert stored.annotations == {"soil": "loam", "x": value}

    @pytest.mark.parametrize(
        ("kind", "text", "reason"),
        [
            ("number", "", "The number is missing"),
            ("number", "1,5", "write it with a point"),
            ("number", "five", "“five” is not a number"),
            ("number", "007", "not a number"),
            ("number", "NaN", "not a number"),
            ("number", "1e999", "too large"),
            ("number", "9223372036854775808", "As a text it is kept as it is"),
            ("json", "", "The value is missing"),
            ("json", '{"a": 1,\r\n"b" 2}', "Not JSON: line 2, column 5: Expecting ':' delimiter"),
            ("json", "[1, NaN]", "Not JSON: NaN is not JSON"),
            ("json", "[" * 100_000, "nested too deeply"),
            ("json", "[" * 80 + "]" * 80, "nested deeper than 64 levels"),
            ("json", "[" + "0," * 200_000 + "0]", "more parts than this server takes"),
            ("json", '["\\u0000"]', "NUL"),
            ("other", "x", "Choose one of the types"),
            ("text", "x" * 600_000, "this server takes at most"),
        ],
        ids=lambda given: given[:20] if isinstance(given, str) else None,
    )
    def test_what_is_none_is_refused_with_the_reason_and_kept_in_the_form(
        self, champion: FlaskClient, uri: str, stored: Stored, kind: str, text: str, reason: str
    ) -> None:
        answer = send(champion, "edit/annotations", uri, name="depth", type=kind, value=text)
        assert answer.status_code == 422
        assert html.escape(reason, quote=False) in html.unescape(answer.text).replace("<", "&lt;")
        assert 'name="name" value="depth"' in answer.text
        assert text.replace("\r\n", "\n")[:50] in html.unescape(answer.text).replace("\r\n", "\n")
        assert stored.annotations == {"soil": "loam"}

    @pytest.mark.parametrize(
        "wrong", ["two words", "", "..", HOSTILE], ids=["two words", "nothing", "dots", "hostile"]
    )
    def test_what_is_no_name_is_refused(
        self, champion: FlaskClient, uri: str, stored: Stored, wrong: str
    ) -> None:
        answer = send(champion, "edit/annotations", uri, name=wrong, type="text", value="kept")
        assert answer.status_code == 422
        assert "is not a valid name" in answer.text
        assert "kept</textarea>" in answer.text
        assert stored.annotations == {"soil": "loam"}

    def test_a_number_that_loses_digits_is_said_to(self, champion: FlaskClient, uri: str) -> None:
        send(champion, "edit/annotations", uri, name="pi", type="number", value="3.14159265358979323846")
        assert "it is 3.141592653589793." in champion.get(path("datasets", uri)).text
        send(champion, "edit/annotations", uri, name="pi2", type="number", value="3.1400")
        assert "Numbers have 16 digits" not in champion.get(path("datasets", uri)).text

    def test_line_ends_that_it_had_before_stay(self, champion: FlaskClient, uri: str, stored: Stored) -> None:
        stored.edit("set_annotation", "note", "one\r\ntwo")
        fields = {"type": "text", "value": "one\r\ntwo\r\nthree"}
        send(champion, "edit/annotations", uri, "?name=note", **fields)
        assert stored.annotations["note"] == "one\r\ntwo\r\nthree"

    def test_one_is_changed_and_deleted(self, champion: FlaskClient, uri: str, stored: Stored) -> None:
        form = champion.get(path("edit/annotations", uri) + "?name=soil").text
        assert ">\nloam</textarea>" in form
        send(champion, "edit/annotations", uri, "?name=soil", type="number", value="7")
        assert stored.annotations == {"soil": 7}
        answer = send(champion, "edit/annotations", uri, "?name=soil", delete="1")
        assert answer.status_code == 303
        assert stored.annotations == {}
        assert "The annotation soil is deleted." in champion.get(path("datasets", uri)).text

    @pytest.mark.parametrize("headers", [{}, IN_PAGE])
    def test_what_somebody_else_has_changed_meanwhile_is_shown_before_it_is_replaced(
        self, champion: FlaskClient, uri: str, stored: Stored, headers: dict[str, str]
    ) -> None:
        url = path("edit/annotations", uri)
        form = {**fields_of(champion.get(f"{url}?name=soil")), "type": "text", "value": "clay"}
        stored.edit("set_annotation", "soil", ["sand"])
        for act in ({}, {"delete": "1"}):
            refused = champion.post(url, data={**form, **act}, headers=headers)
            assert refused.status_code == 412
            assert "Somebody has changed this annotation meanwhile" in refused.text
            assert ">\nclay</textarea>" in refused.text
            assert "sand" in refused.text
            assert stored.annotations == {"soil": ["sand"]}
        again = champion.post(url, data={**form, **fields_of(refused)})
        assert again.status_code == 303
        assert stored.annotations == {"soil": "clay"}

    def test_a_new_one_takes_the_place_of_no_other_unseen(
        self, champion: FlaskClient, uri: str, stored: Stored
    ) -> None:
        fields = {"name": "soil", "type": "text", "value": "clay"}
        refused = send(champion, "edit/annotations", uri, **fields)
        assert refused.status_code == 412
        assert "There is an annotation of this name already" in refused.text
        assert "loam" in refused.text
        assert stored.annotations == {"soil": "loam"}

    def test_others_that_change_meanwhile_are_none_of_its_business(
        self, champion: FlaskClient, uri: str, stored: Stored
    ) -> None:
        form = fields_of(champion.get(path("edit/annotations", uri) + "?name=soil"))
        stored.edit("set_annotation", "ph", 7)
        data = {**form, "type": "text", "value": "clay"}
        assert champion.post(path("edit/annotations", uri), data=data).status_code == 303
        assert stored.annotations == {"soil": "clay", "ph": 7}

    def test_are_shown_by_their_types(self, champion: FlaskClient, uri: str, stored: Stored) -> None:
        stored.edit(
            "replace_annotations",
            {
                "five": "5",
                "number": 5,
                "link": "https://example.org/x?a=1",
                "bad_link": "javascript:alert(1)",
                "hostile": HOSTILE,
                "tree": {HOSTILE: ["a", {"b": None}]},
                "nothing": "",
            },
        )
        page = champion.get(path("datasets", uri)).text
        assert re.search(r'<bdi class="value text">5</bdi> <span class="kind">text</span>', page)
        assert '<code class="value">5</code>' in page
        assert 'href="https://example.org/x?a=1" rel="noopener noreferrer nofollow"' in page
        assert 'href="javascript' not in page
        assert "<script>document" not in page
        assert "an empty text" in page

    def test_of_large_ones_the_page_shows_some(
        self, champion: FlaskClient, uri: str, stored: Stored, browse: Callable[[str], FlaskClient]
    ) -> None:
        many = {f"a{n}": list(range(100)) for n in range(300)}
        stored.edit("replace_annotations", many)
        page = browse(READER).get(path("datasets", uri))
        assert len(page.data) < 200_000
        assert "100 more annotations are not shown" in page.text
        assert browse(READER).get(path("as-json/annotations", uri)).json["annotations"] == many
        form = champion.get(path("edit/annotations", uri) + "?name=a299", headers=IN_PAGE).text
        assert 'name="name" value="a299"' in form


class TestTrees:
    def test_have_no_more_parts_than_a_page_can_bear(self) -> None:
        [(_, shown), (_, last)] = shown_annotations({"a": [[1, 2, 3]] * 10, "b": {"c": 1}}, nodes=6)
        assert (len(shown.parts), shown.more) == (2, 8)
        assert [part.more for _, part in shown.parts] == [0, 3]
        assert (last.parts, last.more) == ([], 1)
        [(_, text)] = shown_annotations({"a": "x" * 5000})
        assert (len(text.text), text.is_cut) == (MOST_CHARACTERS, True)

    def test_are_as_deep_as_a_page_can_bear(self) -> None:
        value: Any = 1
        for _ in range(64):
            value = {"a": value}
        [(_, shown)] = shown_annotations({"a": value})
        depth = 0
        while shown.parts:
            [(_, shown)] = shown.parts
            depth += 1
        assert depth == 8
        assert shown.text.startswith('{"a": {"a": ')


class TestReadme:
    def test_is_saved_as_it_was_typed(self, champion: FlaskClient, uri: str, stored: Stored) -> None:
        answer = send(champion, "edit/readme", uri, readme="\r\ndescription: größe 😀\r\nx: |\r\n  a\r\n")
        assert (answer.status_code, answer.location) == (303, f"{path('datasets', uri)}#readme")
        assert stored.readme == "\ndescription: größe 😀\nx: |\n  a\n"
        page = champion.get(path("edit/readme", uri)).text
        assert ">\n\ndescription: größe 😀\nx: |\n  a\n</textarea>" in page

    def test_line_ends_that_it_had_before_stay(self, champion: FlaskClient, uri: str, stored: Stored) -> None:
        stored.edit("replace_readme", "a: 1\r\nb: 2\r\n")
        send(champion, "edit/readme", uri, readme="a: 1\r\nb: 3\r\n")
        assert stored.readme == "a: 1\r\nb: 3\r\n"

    def test_of_a_million_characters_is_saved(self, champion: FlaskClient, uri: str, stored: Stored) -> None:
        readme = "größe: 1 # " + "ü" * 1_000_000
        assert send(champion, "edit/readme", uri, readme=readme).status_code == 303
        assert stored.readme == readme
        refused = send(champion, "edit/readme", uri, readme=readme + "x" * 50_000)
        assert refused.status_code == 422
        assert "Not YAML" not in refused.text
        assert "1,050,011 characters, and this server takes at most 1,048,576" in refused.text

    def test_that_is_no_yaml_is_saved_once_somebody_wants_that(
        self, champion: FlaskClient, uri: str, stored: Stored
    ) -> None:
        wrong = "project: beans\r\nnote: a: b"
        page = send(champion, "edit/readme", uri, readme=wrong)
        assert page.status_code == 422
        assert "Not YAML: line 2, column 8: no colon can be here" in page.text
        assert "note: a: b</textarea>" in page.text
        assert stored.readme.startswith("description: Beans")
        data = {**fields_of(page), "readme": wrong, "anyway": "1"}
        assert champion.post(path("edit/readme", uri), data=data).status_code == 303
        assert stored.readme == "project: beans\nnote: a: b"
        # From now on that is known.
        assert send(champion, "edit/readme", uri, readme=f"{wrong}: c").status_code == 303

    def test_that_somebody_else_has_changed_meanwhile_is_shown_as_a_difference(
        self, champion: FlaskClient, uri: str, stored: Stored
    ) -> None:
        url = path("edit/readme", uri)
        stored.edit("replace_readme", "a: 1\nb: 2\nc: 3\n")
        form = fields_of(champion.get(url))
        stored.edit("replace_readme", "a: 1\nb: theirs\nc: 3\n")
        mine = {"readme": "a: 1\r\nb: mine\r\nc: 3\r\n"}
        refused = champion.post(url, data={**form, **mine})
        assert refused.status_code == 412
        rows = re.findall(r'<tr class="(before|after)">.*?<bdi>(.*?)</bdi>', refused.text)
        assert rows == [("before", "b: theirs"), ("after", "b: mine")]
        assert ">\na: 1\nb: mine\nc: 3\n</textarea>" in refused.text.replace("\r", "")
        assert stored.readme == "a: 1\nb: theirs\nc: 3\n"
        # Once more: what is replaced is what was shown, and nothing later.
        seen = {**fields_of(refused), **mine}
        stored.edit("replace_readme", "a: 1\nb: theirs again\nc: 3\n")
        refused = champion.post(url, data=seen)
        assert refused.status_code == 412
        assert champion.post(url, data={**fields_of(refused), **mine}).status_code == 303
        assert stored.readme == "a: 1\nb: mine\nc: 3\n"

    def test_an_empty_one_can_start_from_a_template(
        self, champion: FlaskClient, uri: str, stored: Stored
    ) -> None:
        assert "?start=template" not in champion.get(path("edit/readme", uri)).text
        assert "owners:" not in champion.get(path("edit/readme", uri) + "?start=template").text
        stored.edit("replace_readme", " \n")
        assert "?start=template" in champion.get(path("edit/readme", uri)).text
        page = champion.get(path("edit/readme", uri) + "?start=template").text
        [template] = re.findall(r"<textarea[^>]*>\n(.*)</textarea>", page, re.DOTALL)
        assert f"username: {CHAMPION}" in template
        assert verdict_on(html.unescape(template)).message == "This is YAML, with 6 fields."

    def test_is_checked_while_it_is_typed(
        self, champion: FlaskClient, uri: str, browse: Callable[[str | None], FlaskClient]
    ) -> None:
        token = fields_of(champion.get(path("edit/readme", uri)))

        def check(readme: str) -> str:
            return str(champion.post("/edit/check-readme", data={**token, "readme": readme}).text)

        assert 'data-line="2" data-column="8"' in check("project: beans\r\nnote: a: b")
        assert "with 2 fields" in check("a: 1\r\nb: 2")
        assert check("").strip() == ""
        assert champion.post("/edit/check-readme", data={"readme": "a: b: c"}).status_code == 204
        assert browse(None).post("/edit/check-readme", data={**token, "readme": "a"}).status_code == 303


class TestVerdicts:
    @pytest.mark.parametrize(
        ("readme", "message"),
        [
            ("", ""),
            ("a: 1", "This is YAML, with one field."),
            ("---\na: &x 1\nb: {c: *x}\n", "This is YAML, with 2 fields."),
            ("- 1\n- [2, 3]", "This is YAML: a list of 2."),
            ("Beans from the garden", "This is plain text."),
            ("a:\n\tb: 1", "Not YAML: line 2, column 1: a tab"),
            ("a: @x", "Not YAML: line 1, column 4: a text that begins with @ needs quotes"),
            ("a: 'x", "a quotation mark is missing"),
            ("a: [1, 2", "a bracket is missing at the end"),
            ("a: 1\nfoo\nb: 2", "a field without a colon"),
            ("a: 1\nb: 2\na: 3", "Not YAML: line 3, column 1: “a” is there twice"),
            ("a: *b", "nothing is called “b”"),
            ("a: 1\n---\nb: 2", "a second document begins here"),
            ("a: \x01", "a character that YAML does not know"),
            ("[" * 100_000, "Not YAML"),
        ],
        ids=lambda given: given[:20],
    )
    def test_say_where_it_is_no_yaml(self, readme: str, message: str) -> None:
        verdict = verdict_on(readme)
        assert verdict.message.startswith(message) or (message and message in verdict.message)
        assert verdict.is_yaml == (not verdict.message.startswith("Not YAML"))


class TestDifferences:
    def test_are_lines_with_some_around_them(self) -> None:
        before = "\n".join(str(n) for n in range(30))
        after = before.replace("15\n", "fifteen\n")
        lines, is_cut = differences(before, after)
        assert [(line.kind, line.text) for line in lines] == [
            ("gap", ""),
            *(("same", str(n)) for n in (12, 13, 14)),
            ("before", "15"),
            ("after", "fifteen"),
            *(("same", str(n)) for n in (16, 17, 18)),
            ("gap", ""),
        ]
        assert not is_cut

    @pytest.mark.parametrize(
        "before",
        ["", "same", "x\n" * 100_000, "".join(f"{n}\n" for n in range(50_000))],
        ids=["nothing", "a line", "equal lines", "other lines"],
    )
    def test_of_long_texts_are_shown_as_far_as_a_page_can_bear(self, before: str) -> None:
        lines, is_cut = differences(before, "".join(f"{n}!\n" for n in range(50_000)))
        assert is_cut
        assert MOST_SHOWN // 2 <= len(lines) <= MOST_SHOWN
        assert "after" in {line.kind for line in lines}


ACTS = {
    "edit/tags": {"tag": "mine"},
    "edit/annotations": {"name": "mine", "type": "text", "value": "mine"},
    "edit/readme": {"readme": "mine: 1"},
}


def own_token(client: FlaskClient) -> dict[str, str]:
    """Return the token of a browser's own forms, as any page with a form has it."""
    tokens = re.findall(r'name="csrf_token"[^>]* value="([^"]+)"', client.get("/account").text)
    return {"csrf_token": tokens[0]} if tokens else {}


class TestWhoMay:
    @pytest.mark.parametrize("act", ACTS)
    @pytest.mark.parametrize(
        ("username", "status"), [(None, 303), (READER, 403), (NOBODY, 403), (ADMIN, 403), (CHAMPION, 200)]
    )
    def test_only_who_may_register_gets_there(
        self,
        browse: Callable[..., FlaskClient],
        uri: str,
        stored: Stored,
        act: str,
        username: str,
        status: int,
    ) -> None:
        client = browse(username)
        assert client.get(path(act, uri)).status_code == status
        before = {"before": writes.tag_of(stored.readme)} if act == "edit/readme" else {}
        answer = client.post(path(act, uri), data={**own_token(client), **before, **ACTS[act]})
        changed = "mine" in stored.readme or "mine" in stored.tags or "mine" in stored.annotations
        assert changed == (username == CHAMPION)
        if username is None:
            assert answer.location == f"/sign-in?next={path(act, uri).replace('/', '%2F')}"
        elif username != CHAMPION:
            assert answer.status_code == 403
            assert "mine" in answer.text
            assert "No register permission" in answer.text or "No search permission" in answer.text

    @pytest.mark.parametrize("username", [None, READER, CHAMPION])
    def test_controls_are_shown_to_them_alone(
        self, app: Flask, browse: Callable[..., FlaskClient], uri: str, username: str | None
    ) -> None:
        with app.app_context():
            base_uris.set_public(RED, True)
            sql_db.session.commit()
        page = browse(username).get(path("datasets", uri)).text
        assert ("/edit/" in page) == (username == CHAMPION)
        assert ("<textarea" in page) == (username == CHAMPION)
        assert "loam" in page
        assert "beans" in page

    @pytest.mark.parametrize("act", ACTS)
    def test_what_may_not_be_seen_is_refused_as_if_it_were_not_there(
        self, register: Callable[..., dict[str, Any]], browse: Callable[..., FlaskClient], act: str
    ) -> None:
        there, client = register(BLUE, name="secret-name")["uri"], browse(CHAMPION)
        token = own_token(client)
        answers = []
        for uri in (there, f"{BLUE}/00000000-0000-4000-8000-000000000000"):
            read = client.get(path(act, uri))
            written = client.post(path(act, uri), data={**token, **ACTS[act]})
            assert (read.status_code, written.status_code) == (403, 403)
            own_name = uri.rpartition("/")[2]
            answers.append([page.text.replace(own_name, "") for page in (read, written)])
        assert "secret-name" not in str(answers)
        tokens = re.compile(r'name="csrf_token" value="[^"]+"')
        assert tokens.sub("", str(answers[0])) == tokens.sub("", str(answers[1]))

    def test_what_is_not_registered_is_not_found(self, champion: FlaskClient) -> None:
        for act in ACTS:
            assert champion.get(path(act, f"{RED}/none")).status_code == 404

    @pytest.mark.parametrize("act", ACTS)
    def test_a_permission_that_is_taken_back_meanwhile_loses_no_text(
        self, app: Flask, champion: FlaskClient, uri: str, act: str
    ) -> None:
        form = fields_of(champion.get(path(act, uri)))
        with app.app_context():
            base_uris.put_base_uri(RED, [CHAMPION], [])
            sql_db.session.commit()
        answer = champion.post(path(act, uri), data={**form, **ACTS[act]})
        assert answer.status_code == 403
        assert "No register permission on the base URI of this request" in answer.text
        assert "mine" in answer.text

    @pytest.mark.parametrize("act", ACTS)
    @pytest.mark.parametrize("forgery", ["no token", "a wrong token", "the token of another", "another site"])
    def test_a_form_of_somebody_else_changes_nothing(
        self,
        champion: FlaskClient,
        browse: Callable[..., FlaskClient],
        uri: str,
        stored: Stored,
        act: str,
        forgery: str,
    ) -> None:
        form, headers = fields_of(champion.get(path(act, uri))), {}
        if forgery == "no token":
            del form["csrf_token"]
        elif forgery == "a wrong token":
            form["csrf_token"] = f"x{form['csrf_token']}"
        elif forgery == "the token of another":
            form["csrf_token"] = fields_of(browse(CHAMPION).get(path(act, uri)))["csrf_token"]
        else:
            headers = {"Sec-Fetch-Site": "cross-site"}
        answer = champion.post(path(act, uri), data={**form, **ACTS[act]}, headers=headers)
        assert answer.status_code == 400
        assert "mine" in answer.text  # so that it can be sent again
        assert stored.tags == ["beans", "2026"]
        assert stored.annotations == {"soil": "loam"}
        assert stored.readme == "description: Beans from the greenhouse\n"

    @pytest.mark.parametrize("act", ACTS)
    def test_a_store_that_is_out_of_reach_loses_no_text(
        self, champion: FlaskClient, uri: str, act: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        form = fields_of(champion.get(path(act, uri)))

        def away(*_arguments: Any, **_options: Any) -> None:
            raise UnavailableError("The store does not answer")

        for name in (
            "replace_readme",
            "add_tags",
            "set_annotation",
            "get_readme",
            "get_tags",
            "get_annotations",
        ):
            monkeypatch.setattr(metadata, name, away)
        answer = champion.post(path(act, uri), data={**form, **ACTS[act]})
        assert answer.status_code == 503
        assert "The store does not answer" in answer.text
        assert "mine" in answer.text

    def test_a_form_of_very_many_fields_is_not_read(self, champion: FlaskClient, uri: str) -> None:
        for act in ("edit/annotations", "edit/readme"):
            form = fields_of(champion.get(path(act, uri)))
            answer = champion.post(path(act, uri), data={**form, **{f"f{n}": "" for n in range(200)}})
            assert answer.status_code == 413

    def test_pages_are_kept_nowhere(self, champion: FlaskClient, uri: str) -> None:
        for act in ("datasets", *ACTS):
            assert champion.get(path(act, uri)).headers["Cache-Control"] == "no-store"


class TestStorage:
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        """The directory of a dataset that dtool has made."""
        (tmp_path / "storage").mkdir()
        with dtoolcore.DataSetCreator("beans", str(tmp_path / "storage"), readme_content="a: 1\n") as creator:
            creator.put_annotation("soil", "loam")
            creator.put_tag("fruit")
        return tmp_path / "storage" / "beans"

    @pytest.fixture
    def uri(self, app: Flask, people: None, directory: Path) -> str:
        base_uri = f"file://{directory.parent}"
        uri = f"{base_uri}/{directory.name}"
        with app.app_context():
            base_uris.create_base_uri(base_uri, [CHAMPION], [CHAMPION])
            info = generate_dataset_info(dtoolcore.DataSet.from_uri(str(directory)), base_uri)
            registration.register_dataset(OPERATOR, operator_scope("register"), {**info, "uri": uri})
            sql_db.session.commit()
        return uri

    def test_a_dataset_on_disk_is_changed_too(self, champion: FlaskClient, uri: str, directory: Path) -> None:
        send(champion, "edit/tags", uri, tag="veg")
        send(champion, "edit/tags", uri, remove="fruit")
        send(champion, "edit/annotations", uri, name="ph", type="number", value="9007199254740993")
        send(champion, "edit/annotations", uri, "?name=soil", delete="1")
        send(champion, "edit/readme", uri, readme="a: größe\r\n")
        dataset = dtoolcore.DataSet.from_uri(str(directory))
        assert dataset.list_tags() == ["veg"]
        assert dataset.list_annotation_names() == ["ph"]
        assert dataset.get_annotation("ph") == 9007199254740993
        assert (directory / "README.yml").read_text() == "a: größe\n"
        assert "could not be updated" not in champion.get(path("datasets", uri)).text

    @pytest.mark.parametrize("act", ACTS)
    def test_who_edits_is_told_if_it_could_not_be(
        self, champion: FlaskClient, uri: str, directory: Path, act: str, stored: Stored
    ) -> None:
        form = fields_of(champion.get(path(act, uri)))
        directory.rename(directory.parent / "elsewhere")
        assert champion.post(path(act, uri), data={**form, **ACTS[act]}).status_code == 303
        page = champion.get(path("datasets", uri)).text
        assert "The storage could not be updated: the dataset itself still has what it had before." in page
        assert "mine" in page

    def test_who_edits_is_told_if_the_server_does_not_do_so(
        self, app: Flask, champion: FlaskClient, uri: str, directory: Path
    ) -> None:
        app.config["DSERVER_UPDATE_STORAGE"] = False
        answer = send(champion, "edit/tags", uri, tag="veg", headers=IN_PAGE)
        assert "This server leaves datasets in storage as they are." in answer.text
        assert dtoolcore.DataSet.from_uri(str(directory)).list_tags() == ["fruit"]


def the(driver: webdriver.Chrome, selector: str) -> Any:
    return driver.find_element(By.CSS_SELECTOR, selector)


def says(part: str, text: str) -> Callable[[webdriver.Chrome], bool]:
    """Whether a section says so, and has settled: what is pressed before that is sent as without scripts."""

    def condition(driver: webdriver.Chrome) -> bool:
        # A refusal is read out there, and seen at the field that it is about.
        said = the(driver, f"#{part}-status").get_attribute("textContent")
        busy = ".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added"
        return text in said and not driver.find_elements(By.CSS_SELECTOR, busy)

    return condition


@needs_browser
class TestInABrowser:
    def test_tags_and_annotations_are_edited_in_place(
        self, app: Flask, address: str, chrome: webdriver.Chrome, uri: str, stored: Stored
    ) -> None:
        enter(chrome, app, address, CHAMPION)
        chrome.get(address + path("datasets", uri))
        page = the(chrome, "html")
        the(chrome, "#tag").send_keys("be")
        until(chrome, lambda driver: the(driver, "#known-tags option[value=beans]"))
        the(chrome, "#tag").clear()
        the(chrome, "#tag").send_keys("soil", Keys.ENTER)
        until(chrome, says("tags", "The tag soil is added."))
        assert chrome.switch_to.active_element.get_attribute("id") == "tag"
        the(chrome, "#tag").send_keys("no good", Keys.ENTER)
        until(chrome, says("tags", "is not a valid name"))
        assert the(chrome, "#tag").get_attribute("value") == "no good"
        the(chrome, "button[value=beans]").click()
        until(chrome, says("tags", "The tag beans is removed."))
        assert stored.tags == ["2026", "soil"]

        the(chrome, "details.add summary").click()
        the(chrome, "#annotation-name").send_keys("ph")
        Select(the(chrome, "#annotation-type")).select_by_value("true")
        assert not the(chrome, "#annotation-value").is_displayed()
        Select(the(chrome, "#annotation-type")).select_by_value("json")
        the(chrome, "#annotation-value").send_keys('{"from": 5.0,', Keys.ENTER, '"to" 7}')
        the(chrome, "#annotation-save").click()
        until(chrome, says("annotations", "Not JSON: line 2, column 6"))
        value = the(chrome, "#annotation-value")
        value.clear()
        value.send_keys('{"from": 5.0, "to": 7}')
        the(chrome, "#annotation-save").click()
        until(chrome, says("annotations", "The annotation ph is saved."))
        assert stored.annotations == {"soil": "loam", "ph": {"from": 5.0, "to": 7}}
        the(chrome, "a[aria-label='Change the annotation soil']").click()
        until(chrome, lambda driver: the(driver, "#annotation-value") == driver.switch_to.active_element)
        the(chrome, "button.danger").click()
        until(chrome, says("annotations", "The annotation soil is deleted."))
        assert stored.annotations == {"ph": {"from": 5.0, "to": 7}}
        assert the(chrome, "html") == page  # no other page was opened for all that
        assert [said for said in complaints(chrome) if "422" not in said] == []

    def test_who_has_been_signed_out_is_led_to_where_one_signs_in(
        self, app: Flask, address: str, chrome: webdriver.Chrome, uri: str
    ) -> None:
        enter(chrome, app, address, CHAMPION)
        chrome.get(address + path("datasets", uri))
        chrome.delete_all_cookies()
        # Suggestions, which nobody has asked for, lead nowhere.
        the(chrome, "#tag").send_keys("soil", Keys.ENTER)
        until(chrome, lambda driver: "Your text is still here" in the(driver, "main h1").text)
        assert "soil" in the(chrome, "main form.kept").text
        enter(chrome, app, address, CHAMPION)
        chrome.get(address + path("datasets", uri))
        chrome.delete_all_cookies()
        the(chrome, "a[aria-label='Change the annotation soil']").click()
        until(chrome, lambda driver: "/sign-in" in driver.current_url)

    def test_so_they_are_without_scripts(
        self, app: Flask, address: str, chrome: webdriver.Chrome, uri: str, stored: Stored
    ) -> None:
        enter(chrome, app, address, CHAMPION)
        run_scripts(chrome, False)
        chrome.get(address + path("datasets", uri))
        the(chrome, "#tag").send_keys("so il")
        follow(chrome, the(chrome, "#tag-add"))
        assert "is not a valid name" in the(chrome, "#tag-help").text
        the(chrome, "#tag").clear()
        the(chrome, "#tag").send_keys("soil")
        follow(chrome, the(chrome, "#tag-add"))
        assert chrome.current_url == f"{address}{path('datasets', uri)}#tags"
        assert the(chrome, ".notice").text.startswith("The tag soil is added.")
        follow(chrome, the(chrome, "a[aria-label='Change the annotation soil']"))
        the(chrome, "#annotation-value").clear()
        the(chrome, "#annotation-value").send_keys("clay")
        follow(chrome, the(chrome, "#annotation-save"))
        assert stored.tags == ["beans", "2026", "soil"]
        assert stored.annotations == {"soil": "clay"}

    def test_a_readme_is_checked_while_it_is_typed_and_a_conflict_is_shown(
        self, app: Flask, address: str, chrome: webdriver.Chrome, uri: str, stored: Stored
    ) -> None:
        stored.edit("replace_readme", "")
        enter(chrome, app, address, CHAMPION)
        chrome.get(address + path("edit/readme", uri))
        the(chrome, "a[data-template]").click()
        until(chrome, lambda driver: "with 6 fields" in the(driver, "#readme-verdict").text)
        assert not the(chrome, "a[data-template]").is_displayed()
        readme = the(chrome, "#readme")
        readme.send_keys(Keys.CONTROL, Keys.HOME)
        readme.send_keys("note: a: b", Keys.ENTER)
        until(chrome, lambda driver: "line 1, column 8" in the(driver, "#readme-verdict").text)
        until(chrome, lambda driver: the(driver, "#readme-verdict button")).click()
        assert readme.get_attribute("aria-invalid") == "true"
        assert chrome.switch_to.active_element == readme
        assert chrome.execute_script("return arguments[0].selectionStart", readme) == 7
        readme.clear()
        readme.send_keys(f"mine: '{HOSTILE}'".replace("='owned'", "=1"))
        until(chrome, lambda driver: "with one field" in the(driver, "#readme-verdict").text)
        stored.edit("replace_readme", f"theirs: {HOSTILE}\n")
        follow(chrome, the(chrome, ".acts button"))
        assert "Somebody has changed this README" in the(chrome, "#conflict").text
        rows = [row.text for row in chrome.find_elements(By.CSS_SELECTOR, ".differences tbody tr")]
        assert [row.split()[0] for row in rows] == ["saved", "yours"]
        assert "theirs: </textarea><script>" in rows[0]
        follow(chrome, the(chrome, ".acts button"))
        assert stored.readme == f"mine: '{HOSTILE}'".replace("='owned'", "=1")
        assert chrome.title != "owned"
        chrome.get(address + path("edit/readme", uri))
        assert the(chrome, "#readme").get_attribute("value") == stored.readme
        assert [said for said in complaints(chrome) if "412" not in said] == []
