"""The page that people search with: what it finds, shows, offers and hides, in HTML and in a browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import partial
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask.testing import FlaskClient
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dservercore import create_app, sql_db
from dservercore.catalog import base_uris
from dservercore.catalog.scope import OPERATOR
from dservercore.web.search.conditions import Parts, query_of_size, split
from dservercore.web.search.facets import _next_choice as next_choice
from dservercore.web.search.results import pieces_of
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED
from web.browser import (
    axe_source,
    be_wide,
    client_of,
    complaints,
    enter,
    follow,
    needs_browser,
    prefer,
    run_scripts,
    until,
    violations,
)

UUID = "1e47c076-2eb0-43b2-b219-fc7d419f1f16"

YEAR = 365.25 * 24 * 3600
OF_2019, OF_2021 = 49.5 * YEAR, 51.5 * YEAR


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: dict[str, str] = {}
        self._link: str | None = None
        self._of_link: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._link, self._of_link = dict(attrs).get("href"), []

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._link:
            self.links[" ".join("".join(self._of_link).split())] = self._link

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        self._of_link.append(data)


def links_of(page: str) -> dict[str, str]:
    """Return where the links of a page lead, by their texts."""
    parser = _Texts()
    parser.feed(page)
    return parser.links


def text_of(page: str) -> str:
    """Return what of a page is text."""
    parser = _Texts()
    parser.feed(page)
    return " ".join("".join(parser.texts).split())


def names_of(page: str) -> list[str]:
    """Return the names of the datasets on a page, in order."""
    found = re.findall(r'<li class="hit">\s*<h2><a [^>]*><bdi>(.*?)</bdi>', page)
    return [unescape(re.sub("</?mark>", "", name)) for name in found]


def facet_of(page: str, name: str) -> dict[str, int]:
    """Return the values of a facet on a page, with their counts."""
    section = re.search(rf'<section aria-labelledby="facet-{name}">(.*?)</section>', page, re.S)
    found = (
        re.findall(r'<bdi>([^<]*)</bdi> <span class="count">([\d,]+)</span>', section[1]) if section else []
    )
    return {unescape(value): int(number.replace(",", "")) for value, number in found}


@pytest.fixture
def signed_in(app):
    """``signed_in(username)`` returns a client with the session of a browser in which a user has signed in."""

    return partial(client_of, app)


@pytest.fixture
def look(signed_in, people):
    """``look(address, username)`` returns the page at an address, as a user gets it."""
    clients: dict[str, FlaskClient] = {}

    def page(address: str, username: str = READER, status: int = 200) -> str:
        if username not in clients:
            clients[username] = signed_in(username)
        answer = clients[username].get(address)
        assert answer.status_code == status
        return answer.text

    return page


@pytest.fixture
def some(register):
    """Four datasets; the one in BLUE is for the reader alone."""
    register(name="bean-harvest", tags=["beans", "field"], frozen_at=OF_2019, size_in_bytes=5_000)
    register(
        name="pea-harvest",
        tags=["peas", "field"],
        frozen_at=OF_2021,
        size_in_bytes=7_000_000,
        readme="description: Peas, counted twice by hand",
    )
    register(name="rye", tags=["rye"], creator_username="pia", frozen_at=OF_2021, size_in_bytes=7_000)
    register(BLUE, name="hidden-harvest", tags=["secret-tag"], creator_username="sue", frozen_at=OF_2019)


class TestWhoLooks:
    def test_a_visitor_is_told_what_the_server_is_and_where_to_sign_in(self, client, some):
        page = client.get("/").text
        assert "A lookup server for dtool datasets" in page
        assert links_of(page)["Sign in to search"] == "/sign-in"
        assert "harvest" not in page

    def test_an_administrator_who_may_search_nothing_is_led_to_where_that_is_granted(self, app, some):
        page = client_of(app, ADMIN).get("/").text
        assert links_of(page)["grant yourself some of the base URIs"] == "/admin/base-uris"
        assert "An administrator of this server can grant" not in page
        assert "An administrator of this server can grant" in client_of(app, NOBODY).get("/").text

    def test_the_address_of_a_search_leads_visitors_to_sign_in_and_back(self, client, some):
        answer = client.get("/?free_text=beans&tags=field")
        assert answer.status_code == 303
        assert answer.location == "/sign-in?next=%2F%3Ffree_text%3Dbeans%26tags%3Dfield"

    def test_visitors_see_what_is_public(self, app, client, some, look):
        with app.app_context():
            base_uris.set_public(RED, True, actor=OPERATOR)
            sql_db.session.commit()
        for path in (
            "/",
            "/?free_text=harvest",
            "/search/values?facet=tags",
            "/search.csv",
            "/search.ndjson",
        ):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "hidden-harvest" not in answer.text
            assert "secret" not in answer.text
            assert "bean" in answer.text
        assert client.get("/search/suggestions?q=hid").json == []
        assert client.get("/search/suggestions?q=bea").json != []
        assert 'href="/sign-in"' in client.get("/").text

    def test_who_may_search_nothing_is_told_so(self, look, some):
        page = look("/", NOBODY)
        assert "You may not search any base URI yet" in page
        assert "harvest" not in page

    def test_where_there_are_no_datasets_yet_that_is_said(self, look):
        assert "There are no datasets yet" in look("/", CHAMPION)

    def test_nothing_of_other_base_uris_is_shown(self, look, some, signed_in):
        assert "hidden-harvest" in look("/")
        assert facet_of(look("/"), "base_uris") == {RED: 3, BLUE: 1}
        for path in (
            "/",
            "/?free_text=harvest",
            "/?free_text=hidden",
            f"/?base_uris={BLUE}",
            "/?tags=secret-tag",
        ):
            page = look(path, CHAMPION)
            assert "hidden-harvest" not in page
            assert "sue" not in page.replace("issue", "")
            assert "secret-tag" not in facet_of(page, "tags") or facet_of(page, "tags")["secret-tag"] == 0
        for path in ("/search/values?facet=tags", "/search/values?facet=tags&prefix=s", "/search.csv"):
            assert "secret" not in look(path, CHAMPION)
        assert signed_in(CHAMPION).get("/search/suggestions?q=sec").json == []
        assert signed_in(READER).get("/search/suggestions?q=sec").json != []
        assert f"base_uris={BLUE}" not in look("/", CHAMPION)

    def test_nothing_is_kept_for_others(self, signed_in, some):
        for path in (
            "/",
            "/?free_text=bean",
            "/search/values?facet=tags",
            "/search.csv",
            "/search/suggestions?q=b",
        ):
            answer = signed_in(READER).get(path)
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Cookie" in answer.vary


class TestResults:
    def test_the_newest_come_first_without_words_and_the_best_with_some(self, look, some):
        assert names_of(look("/", CHAMPION)) == ["rye", "pea-harvest", "bean-harvest"] or names_of(
            look("/", CHAMPION)
        ) == ["pea-harvest", "rye", "bean-harvest"]
        assert names_of(look("/?free_text=peas", CHAMPION))[0] == "pea-harvest"
        assert names_of(look("/?sort=name", CHAMPION)) == ["bean-harvest", "pea-harvest", "rye"]
        assert names_of(look("/?sort=-name", CHAMPION)) == ["rye", "pea-harvest", "bean-harvest"]

    def test_an_order_that_was_not_chosen_is_not_kept_for_other_words(self, look, some):
        assert '<option value="" selected>Newest</option>' in look("/")
        assert '<option value="" selected>Best match</option>' in look("/?free_text=peas")
        assert '<option value="name" selected>' in look("/?free_text=peas&sort=name")

    def test_they_say_what_they_are_and_why_they_match(self, look, some):
        page = look("/?free_text=counted+harvest+beans", CHAMPION)
        assert "<mark>harvest</mark>" in page
        assert re.search(r'class="chip"[^>]*><bdi><mark>beans</mark></bdi>', page)
        assert "olga" in page
        assert "5 kB" in page
        assert RED in page

    def test_what_the_description_shows_is_highlighted_there_and_not_said_again(self, look, some):
        page = look("/?free_text=counted", CHAMPION)
        assert "Peas, <mark>counted</mark> twice by hand" in page
        assert text_of(page).count("twice by hand") == 1

    def test_names_of_files_that_match_are_shown(self, look, some):
        page = look("/?free_text=*.bt2", CHAMPION)
        assert "<mark>pods/U00096.3.rev.1.bt2</mark>" in page

    def test_what_only_repeats_the_name_is_not_said(self, look, register):
        item = {
            "hash": "0" * 32,
            "relpath": "data/survival-lung.csv",
            "size_in_bytes": 1,
            "utc_timestamp": 0.0,
        }
        manifest = {
            "dtoolcore_version": "3.19.0",
            "hash_function": "md5sum_hexdigest",
            "items": {"0" * 40: item},
        }
        source = {"csv_url": "https://example.org/survival-lung.csv"}
        register(name="survival-lung", readme="", annotations=source, manifest=manifest, tags=[])
        page = look("/?free_text=survival+lung")
        assert "<mark>survival</mark>-<mark>lung</mark>" in page or "<mark>survival-lung</mark>" in page
        assert "data/" not in text_of(page)
        assert "example.org" not in text_of(page)
        assert "data/" in text_of(look("/?free_text=survival-lung.csv"))

    def test_copies_are_one_result(self, look, register):
        for base_uri in (RED, BLUE):
            register(base_uri, uuid=UUID, name="copied")
        page = look("/")
        assert names_of(page) == ["copied"]
        assert f'href="/uuid/{UUID}">2 copies' in page
        assert "copies" not in text_of(look("/", CHAMPION))

    def test_links_lead_to_the_page_of_the_dataset(self, look, register):
        uri = register(uuid=UUID)["uri"]
        assert links_of(look("/"))["bean-harvest"] == f"/datasets/{uri.replace('://', '/')}"

    def test_are_the_same_as_those_of_the_api(self, look, some, client, bearer):
        query = "free_text=harvest&tags=field"
        answer = client.get(f"/uris?{query}&sort=-relevance&group=uuid", headers=bearer(CHAMPION))
        assert names_of(look(f"/?{query}", CHAMPION)) == [dataset["name"] for dataset in answer.json]

    def test_come_in_pages(self, look, register):
        for number in range(12):
            register(name=f"n-{number:02}")
        first = look("/?sort=name")
        assert names_of(first) == [f"n-{number:02}" for number in range(10)]
        assert links_of(first)["Next"] == "/?sort=name&page=2"
        second = look("/?sort=name&page=2")
        assert names_of(second) == ["n-10", "n-11"]
        assert links_of(second)["Previous"] == "/?sort=name"
        assert len(names_of(look("/?page_size=25"))) == 12
        beyond = look("/?sort=name&page=9")
        assert "There is no such page" in beyond
        assert links_of(beyond)["To the first page"] == "/?sort=name"

    def test_what_the_search_did_is_said_and_can_be_undone(self, look, some):
        page = look("/?free_text=harvset", CHAMPION)
        assert names_of(page) != []
        assert "Showing results for harvest instead of harvset" in text_of(page)
        as_typed = links_of(page)["Search as typed instead: harvset"]
        assert as_typed == "/?free_text=harvset&strict=true"
        page = look(as_typed, CHAMPION)
        assert names_of(page) == []
        assert "Nothing was found" in page
        assert links_of(page)["exactly as typed Remove"] == "/?free_text=harvset"

    def test_where_nothing_is_found_the_ways_out_are_shown_with_what_they_find(self, look, some):
        page = look("/?free_text=rye&tags=beans", CHAMPION)
        assert names_of(page) == []
        assert "Without Tag beans 1 result" in text_of(page)
        assert links_of(page)["Without Tag beans"] == "/?free_text=rye"
        assert links_of(page)["Without “rye”"] == "/?tags=beans"
        assert "Check the spelling" in page
        page = look("/?free_text=zzzz&tags=beans&creator_usernames=pia", CHAMPION)
        assert "Without all filters" not in page  # which finds nothing, either
        assert "Without" not in text_of(page)


class TestFacets:
    def test_follow_the_search(self, look, some):
        assert facet_of(look("/", CHAMPION), "tags") == {"field": 2, "beans": 1, "peas": 1, "rye": 1}
        assert facet_of(look("/?free_text=peas", CHAMPION), "tags") == {"field": 1, "peas": 1}

    def test_of_tags_say_how_many_are_left_with_one_more(self, look, some):
        page = look("/?tags=field", CHAMPION)
        assert facet_of(page, "tags") == {"field": 2, "beans": 1, "peas": 1}
        assert len(names_of(look("/?tags=field&tags=beans", CHAMPION))) == 1

    def test_of_others_say_how_many_each_value_finds(self, look, some):
        page = look("/?creator_usernames=pia", CHAMPION)
        assert facet_of(page, "creator_usernames") == {"olga": 2, "pia": 1}
        both = links_of(page)["olga 2"]
        assert len(names_of(look(both, CHAMPION))) == 3

    def test_are_chosen_and_taken_back_by_links(self, look, some):
        chosen = links_of(look("/?free_text=harvest", CHAMPION))["field 2"]
        assert chosen == "/?free_text=harvest&tags=field"
        page = look(chosen, CHAMPION)
        assert links_of(page)["field 2"] == "/?free_text=harvest"
        assert links_of(page)["Tag field Remove"] == "/?free_text=harvest"
        page = look("/?free_text=harvest&tags=field&tags=peas", CHAMPION)
        assert links_of(page)["Clear all"] == "/?free_text=harvest"

    def test_years_are_a_histogram_to_choose_from(self, look, some):
        page = look("/?free_text=harvest", CHAMPION)
        year = re.search(r'<a id="year-2019" href="([^"]*)" aria-label="2019: 1 dataset"', page)
        chosen = unescape(year[1])
        assert dict(parse_qsl(urlsplit(chosen).query)) == {"free_text": "harvest frozen:2019"}
        page = look(chosen, CHAMPION)
        assert names_of(page) == ["bean-harvest"]
        assert 'aria-label="2021: 1 dataset"' in page  # the others can still be chosen
        more = unescape(re.search(r'<a id="year-2021" href="([^"]*)"', page)[1])
        assert dict(parse_qsl(urlsplit(more).query)) == {"free_text": "harvest frozen:2019..2021"}
        page = look(more, CHAMPION)
        assert len(names_of(page)) == 2
        assert links_of(page)["Frozen 2019 – 2021 Remove"] == "/?free_text=harvest"
        assert links_of(page)["2019"] == "/?free_text=harvest+frozen%3A2019"

    @pytest.mark.parametrize(
        ("chosen", "year", "becomes"),
        [
            (None, 2019, (2019, 2019)),
            ((2019, 2019), 2019, None),
            ((2019, 2019), 2021, (2019, 2021)),
            ((2019, 2021), 2016, (2016, 2021)),
            ((2019, 2021), 2020, (2020, 2020)),
        ],
    )
    def test_years_are_chosen_one_by_one_or_as_a_range(self, chosen, year, becomes):
        assert next_choice(chosen, year) == becomes

    def test_sizes_are_chosen_by_class(self, look, some):
        page = look("/", CHAMPION)
        assert facet_of(page, "size") == {"1 kB – 1 MB": 2, "1 MB – 1 GB": 1}
        page = look(links_of(page)["1 MB – 1 GB 1"], CHAMPION)
        assert names_of(page) == ["pea-harvest"]
        assert facet_of(page, "size") == {"1 kB – 1 MB": 2, "1 MB – 1 GB": 1}
        assert links_of(page)["Size 1 MB – 1 GB Remove"] == "/"

    def test_of_many_values_have_a_search_of_their_own(self, look, register):
        register(tags=[f"tag-{number:03}" for number in range(120)])
        page = look("/?free_text=bean")
        assert len(facet_of(page, "tags")) == 8
        every = links_of(page)["All … Tags"]
        page = look(every)
        assert len(re.findall(r'id="tags-', page)) == 100
        assert "There are more" in page
        page = look(f"{every}&prefix=TAG-11")
        assert re.findall(r"<bdi>(tag-[^<]*)</bdi>", page) == [f"tag-11{digit}" for digit in range(10)]
        assert links_of(page)["tag-111 1"] == "/?free_text=bean&tags=tag-111"
        assert "Nothing begins so" in look(f"{every}&prefix=zzz")

    def test_with_one_value_are_left_out(self, look, register):
        register()
        assert "facet-base_uris" not in look("/")


class TestAddresses:
    @pytest.mark.parametrize(
        ("query", "says"),
        [
            ("colour=red", "colour: Unknown parameter"),
            ("free_txt=red", "Did you mean free_text?"),
            ("sort=colour", "sort: Can be sorted by"),
            ("page=0", "page: "),
            ("page=x", "page: "),
            ("page=99999999999999999999", "page: "),
            ("page_size=1000", "page_size: "),
            ("strict=perhaps", "strict: "),
            ("free_text=a&free_text=b", "free_text: Given more than once"),
            ("free_text=%00", "free_text"),
            ("tags=%FF", ""),
            ("&".join(f"tags=t{number}" for number in range(101)), "tags: This page takes 100 values"),
            ("free_text=" + "a+" * 300, "free_text"),
        ],
    )
    def test_that_are_wrong_are_answered_with_what_is_wrong(self, look, some, query, says):
        page = look(f"/?{query}", status=422)
        assert "This is no search" in page
        assert says in text_of(page)
        assert 'id="q"' in page

    def test_what_a_form_sends_for_what_was_not_chosen_says_nothing(self, look, some):
        page = look("/?free_text=&sort=&page_size=&tags=&page=", CHAMPION)
        assert len(names_of(page)) == 3
        assert "Clear all" not in page

    def test_of_the_api_work_here(self, look, some):
        page = look(
            "/?free_text=harvest&include=tags,matches&group=uuid&sort=relevance&page=1&page_size=5", CHAMPION
        )
        assert len(names_of(page)) == 2

    def test_begin_with_the_prefix_of_a_proxy(self, signed_in, some):
        page = signed_in(READER).get("/?free_text=harvest", environ_overrides={"SCRIPT_NAME": "/lookup"}).text
        addresses = re.findall(r'(?:href|src|action|hx-get|data-suggestions)="([^"#]+)"', page)
        assert [address for address in addresses if not address.startswith("/lookup/")] == []

    def test_order_by_relevance_without_words_is_the_order_without_a_wish(self, look, some):
        assert names_of(look("/?sort=relevance")) == names_of(look("/"))

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("", Parts("")),
            ("lung", Parts("lung")),
            ("lung frozen:2019", Parts("lung", (2019, 2019))),
            ("frozen:2019..2021", Parts("", (2019, 2021))),
            ("frozen:2019 lung", Parts("frozen:2019 lung")),
            ("lung frozen:>2019", Parts("lung frozen:>2019")),
            ("-frozen:2019", Parts("-frozen:2019")),
            ("lung size:<1kB", Parts("lung", None, "B")),
            ("lung frozen:2019 size:>=1kB size:<1MB", Parts("lung", (2019, 2019), "kB")),
            ("size:>=1EB", Parts("", None, "EB")),
            ("size:>=1GB size:<1kB", Parts("size:>=1GB", None, "B")),
        ],
    )
    def test_years_and_sizes_are_at_the_end_of_the_text(self, text, parts):
        assert split(text) == parts
        assert parts.text == text
        assert split(parts.text) == parts

    def test_each_class_of_sizes_is_one_query(self):
        assert query_of_size("B") == "size:<1kB"
        assert query_of_size("MB") == "size:>=1MB size:<1GB"
        assert query_of_size("EB") == "size:>=1EB"


class TestPrograms:
    def test_results_are_downloaded_with_the_session(self, look, some, client, bearer):
        query = "free_text=harvest&sort=name"
        assert look(f"/search.csv?{query}") == client.get(f"/uris.csv?{query}", headers=bearer(READER)).text
        lines = look(f"/search.ndjson?{query}").splitlines()
        assert [json.loads(line)["name"] for line in lines] == [
            "bean-harvest",
            "hidden-harvest",
            "pea-harvest",
        ]
        links = links_of(look(f"/?{query}&page_size=25"))
        assert links["All as CSV"] == "/search.csv?free_text=harvest&sort=name&page_size=25"
        assert links["as NDJSON"] == "/search.ndjson?free_text=harvest&sort=name&page_size=25"

    def test_a_wrong_address_of_a_download_is_an_error(self, look, some):
        assert "colour" in look("/search.csv?colour=red", status=422)

    def test_suggestions_are_those_of_the_api(self, signed_in, some, client, bearer):
        asked = "q=har&limit=3"
        suggested = signed_in(READER).get(f"/search/suggestions?{asked}").json
        assert suggested == client.get(f"/suggest?{asked}", headers=bearer(READER)).json
        assert {each["kind"] for each in suggested} == {"word"}
        assert signed_in(READER).get("/search/suggestions?limit=0").status_code == 422

    def snippets(self, page: str) -> list[str]:
        return [unescape(text) for text in re.findall(r"<pre[^>]*><code>(.*?)</code>", page, re.S)]

    def test_the_search_for_programs_finds_the_same(self, app, address, some, look, bearer):
        app.config["DSERVER_EXTERNAL_URL"] = address
        page = look('/?free_text=harvest+-"it\'s"&tags=field&sort=-name', CHAMPION)
        wanted = ["pea-harvest", "bean-harvest"]
        assert names_of(page) == wanted
        curl, python, _ = self.snippets(page)
        token = bearer(CHAMPION)["Authorization"].split()[1]
        run = subprocess.run(
            ["bash", "-c", f"{curl} --silent"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={"TOKEN": token, "PATH": os.environ["PATH"]},
        )
        assert [dataset["name"] for dataset in json.loads(run.stdout)] == wanted
        run = subprocess.run(
            [sys.executable, "-c", python],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={"TOKEN": token},
        )
        assert [line.split()[0] for line in run.stdout.splitlines()] == wanted

    def test_dtool_lookup_api_is_asked_for_what_it_can(self, look, some):
        *_, program = self.snippets(look("/?free_text=harvest&tags=field&page_size=25", CHAMPION))
        called: dict[str, Any] = {}

        class Client:
            @staticmethod
            def get_datasets(**given: Any) -> list[Any]:
                called.update(given)
                return []

        exec(program.replace("import dtool_lookup_api\n", ""), {"dtool_lookup_api": Client})
        assert called == {
            "free_text": "harvest",
            "tags": ["field"],
            "page_size": 25,
            "sort_fields": ["relevance"],
            "sort_order": [-1],
        }
        assert len(self.snippets(look("/?strict=true&free_text=harvest", CHAMPION))) == 2


HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'{{7*7}}"
RTL = "مجموعة بيانات " + "x" * 60


class TestHostileTexts:
    def test_are_shown_as_they_are(self, look, register):
        register(
            name=HOSTILE[:80],
            creator_username=HOSTILE,
            readme=f"description: {json.dumps(HOSTILE + ' harvest')}",
            annotations={"note": HOSTILE},
        )
        register(name=RTL[:80], tags=["x" * 80])
        for path in ("/", "/?free_text=alert+harvest+note", "/search/values?facet=creator_usernames"):
            page = look(path)
            assert not re.search(r"<script>|<img|onerror=alert\(2\)>[^<]*<img", page)
            assert "&lt;script&gt;" in page
            assert "{{7*7}}" in page
        assert "<mark>alert</mark>" in look("/?free_text=alert")

    def test_of_the_address_are_shown_as_they_are(self, look, some):
        for name in ("free_text", "tags", "creator_usernames", "base_uris", "colour"):
            client = look
            page = client(
                f"/?{name}=%3Cscript%3Ealert(1)%3C/script%3E", status=422 if name == "colour" else 200
            )
            assert "<script>alert" not in page

    def test_pieces_are_the_whole_text(self):
        assert pieces_of("", []) == []
        assert pieces_of("ab<b>", [[0, 1], [2, 5]]) == [("a", True), ("b", False), ("<b>", True)]


def test_a_page_of_results_is_small(look, register):
    for number in range(10):
        readme = "description: " + "a harvest of many words " * 200
        register(name=f"harvest-{number}", readme=readme, tags=[f"t{number}-{each}" for each in range(20)])
    assert len(look("/?free_text=harvest+words").encode()) < 80_000


def test_without_documentation_of_the_api_none_is_linked(config, people):
    page = create_app({**config, "OPENAPI_URL_PREFIX": None}).test_client().get("/").text
    assert "/doc" not in page


# -- In a browser ----------------------------------------------------------------------------------------------------


def shown_names(driver) -> list[str]:
    return [element.text for element in driver.find_elements(By.CSS_SELECTOR, ".hit h2")]


def total(driver) -> str:
    return driver.find_element(By.ID, "total").text


def query_of(driver) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(driver.current_url).query))


def wide_open(driver, width: int = 1200) -> None:
    be_wide(driver, width)


@needs_browser
def test_answers_come_as_one_types_and_back_leads_back(app, some, address, chrome):
    enter(chrome, app, address, CHAMPION)
    chrome.get(f"{address}/")
    assert total(chrome) == "3 datasets"
    box = chrome.find_element(By.ID, "q")
    box.send_keys("peas")
    until(chrome, lambda driver: total(driver) == "1 result")
    until(chrome, lambda driver: query_of(driver) == {"free_text": "peas"})
    assert shown_names(chrome) == ["pea-harvest"]
    assert chrome.switch_to.active_element.get_attribute("id") == "q"
    until(
        chrome, lambda driver: driver.find_element(By.ID, "said").get_attribute("textContent") == "1 result"
    )
    assert chrome.title == "peas – Search – dserver"
    # One burst of typing is one step back.
    chrome.back()
    until(chrome, lambda driver: total(driver) == "3 datasets")
    assert query_of(chrome) == {}
    chrome.forward()
    until(chrome, lambda driver: total(driver) == "1 result")
    box = chrome.find_element(By.ID, "q")
    assert box.get_attribute("value") == "peas"
    box.send_keys(Keys.CONTROL, "a", Keys.NULL, "rye", Keys.ENTER)
    until(chrome, lambda driver: shown_names(driver) == ["rye"])
    until(chrome, lambda driver: query_of(driver) == {"free_text": "rye"})
    assert complaints(chrome) == []


@needs_browser
def test_facets_chips_and_order_keep_one_another(app, some, address, chrome):
    enter(chrome, app, address, CHAMPION)
    wide_open(chrome)
    chrome.get(f"{address}/?free_text=harvest")
    chrome.find_element(By.CSS_SELECTOR, "#facet-tags ~ .values a[id]").click()
    until(chrome, lambda driver: query_of(driver) == {"free_text": "harvest", "tags": "field"})
    # The focus stays where it was, for who goes by the keyboard.
    until(chrome, lambda driver: driver.switch_to.active_element.get_attribute("aria-current") == "true")
    chrome.find_element(By.CSS_SELECTOR, "#sort option[value=name]").click()
    until(
        chrome, lambda driver: query_of(driver) == {"free_text": "harvest", "tags": "field", "sort": "name"}
    )
    until(chrome, lambda driver: shown_names(driver) == ["bean-harvest", "pea-harvest"])
    chrome.find_element(By.CSS_SELECTOR, "#year-2021 .bar").click()
    until(chrome, lambda driver: shown_names(driver) == ["pea-harvest"])
    box = until(chrome, lambda driver: driver.find_element(By.ID, "q"))
    assert box.get_attribute("value") == "harvest frozen:2021"
    box.clear()
    box.send_keys("bean", Keys.TAB)  # which closes the suggestions
    until(chrome, lambda driver: shown_names(driver) == ["bean-harvest"])
    assert query_of(chrome) == {"free_text": "bean", "tags": "field", "sort": "name"}
    chrome.find_element(By.CSS_SELECTOR, ".choices a").click()
    until(chrome, lambda driver: query_of(driver) == {"free_text": "bean", "sort": "name"})
    chrome.back()
    until(chrome, lambda driver: driver.find_elements(By.CSS_SELECTOR, ".choices a"))
    assert query_of(chrome)["tags"] == "field"
    assert complaints(chrome) == []


@needs_browser
def test_suggestions_are_taken_by_keyboard_and_by_click(app, some, address, chrome):
    enter(chrome, app, address, CHAMPION)
    chrome.get(f"{address}/")

    def options(driver):
        found = driver.find_elements(By.CSS_SELECTOR, "#suggestions:not([hidden]) [role=option]")
        return [option for option in found if option.is_displayed()]

    def box():
        return chrome.find_element(By.ID, "q")

    box().send_keys("bea")
    until(chrome, options)
    assert box().get_attribute("aria-expanded") == "true"
    box().send_keys(Keys.ARROW_DOWN)
    active = box().get_attribute("aria-activedescendant")
    wanted = chrome.find_element(By.ID, active)
    assert wanted.get_attribute("aria-selected") == "true"
    text = wanted.get_attribute("data-text")
    box().send_keys(Keys.ENTER)
    until(chrome, lambda driver: query_of(driver) == {"free_text": text})
    assert box().get_attribute("value") == text
    until(chrome, lambda driver: not options(driver))
    box().clear()
    box().send_keys("pe")
    until(chrome, options)
    box().send_keys(Keys.ESCAPE)
    until(chrome, lambda driver: not options(driver))
    assert box().get_attribute("aria-expanded") == "false"
    box().send_keys("a")
    tag = until(
        chrome,
        lambda driver: next(
            (o for o in options(driver) if o.get_attribute("data-text") == 'tag:"peas"'), None
        ),
    )
    assert "tag" in tag.text
    tag.click()
    until(chrome, lambda driver: query_of(driver) == {"free_text": 'tag:"peas"'})
    until(chrome, lambda driver: shown_names(driver) == ["pea-harvest"])


@needs_browser
def test_all_of_it_works_without_scripts_and_on_a_phone(app, some, register, address, chrome):
    register(
        name="w" * 80, tags=["t" * 80, *[f"t{number}" for number in range(9)]], creator_username="u" * 200
    )
    register(name=HOSTILE[:80], creator_username=RTL)
    run_scripts(chrome, False)
    enter(chrome, app, address, CHAMPION)
    be_wide(chrome, 320)
    chrome.get(f"{address}/")
    assert not chrome.find_element(By.CSS_SELECTOR, ".facets section").is_displayed()
    chrome.find_element(By.CSS_SELECTOR, ".facets summary").click()
    until(chrome, lambda driver: driver.find_element(By.CSS_SELECTOR, ".facets section").is_displayed())
    width = "return document.documentElement.scrollWidth"
    run_scripts(chrome, True)
    assert chrome.execute_script(width) <= 320
    run_scripts(chrome, False)
    box = chrome.find_element(By.ID, "q")
    box.send_keys("harvest")
    before = chrome.find_element(By.TAG_NAME, "html")
    box.send_keys(Keys.ENTER)
    until(
        chrome,
        lambda driver: driver.find_element(By.TAG_NAME, "html") != before and total(driver) == "2 results",
    )
    assert query_of(chrome) == {"free_text": "harvest"}
    be_wide(chrome, 1200)
    # They are open without being so, which the driver does not believe.
    facet = chrome.find_element(By.CSS_SELECTOR, "#facet-tags ~ .values a")
    assert facet.rect["width"] > 100
    chrome.get(facet.get_attribute("href"))
    assert query_of(chrome) == {"free_text": "harvest", "tags": "field"}
    chrome.find_element(By.CSS_SELECTOR, "#sort option[value=name]").click()
    follow(chrome, chrome.find_element(By.CSS_SELECTOR, "#search-form button"))
    assert query_of(chrome) == {"free_text": "harvest", "tags": "field", "sort": "name"}
    assert shown_names(chrome) == ["bean-harvest", "pea-harvest"]


@needs_browser
def test_a_session_that_ends_meanwhile_leads_to_where_one_signs_in(app, some, address, chrome):
    enter(chrome, app, address, CHAMPION)
    chrome.get(f"{address}/")
    chrome.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chrome.find_element(By.ID, "q").send_keys("peas")
    until(chrome, lambda driver: "/sign-in" in driver.current_url)
    assert dict(parse_qsl(urlsplit(chrome.current_url).query)) == {"next": "/?free_text=peas"}


@needs_browser
def test_values_are_looked_up_beside_the_results(app, some, register, address, chrome):
    register(tags=[f"tag-{number:02}" for number in range(30)])
    enter(chrome, app, address, CHAMPION)
    wide_open(chrome)
    chrome.get(f"{address}/")
    chrome.find_element(By.ID, "find-tags").send_keys("tag-1")
    wanted = [f"tag-1{digit}" for digit in range(10)]

    def values(driver):
        return [each.text for each in driver.find_elements(By.CSS_SELECTOR, "#facet-tags ~ .values bdi")]

    until(chrome, lambda driver: values(driver) == wanted)
    assert query_of(chrome) == {}
    chrome.find_element(By.CSS_SELECTOR, "#facet-tags ~ .values a").click()
    until(chrome, lambda driver: query_of(driver) == {"tags": "tag-10"})


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(app, some, address, scheme, chrome, pytestconfig):
    axe = axe_source(pytestconfig.cache.mkdir("axe"))
    prefer(chrome, scheme)
    wide_open(chrome)
    enter(chrome, app, address, CHAMPION)
    for path in ("/?free_text=harvset+frozen:2019&tags=field", "/?free_text=zzzz&tags=x", "/?colour=red"):
        chrome.get(address + path)
        chrome.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
        assert violations(chrome, axe) == []
        assert [said for said in complaints(chrome) if "422" not in said] == []


@needs_browser
def test_by_keyboard_one_hears_what_was_found_and_stays_in_place(app, some, address, chrome):
    def heard(text):
        until(chrome, lambda driver: driver.find_element(By.ID, "said").get_attribute("textContent") == text)

    enter(chrome, app, address, CHAMPION)
    chrome.get(f"{address}/")
    said = chrome.find_element(By.ID, "said")
    chrome.find_element(By.XPATH, "//*[@id='facets']//a[starts-with(., 'rye')]").send_keys(Keys.ENTER)
    heard("1 result")
    # What is put into the page together with what it says is not heard.
    assert said.get_attribute("textContent") == "1 result"
    assert chrome.switch_to.active_element.text.startswith("rye")
    # The choice that is taken back is no more; what follows is there to go on with.
    chrome.find_element(By.CSS_SELECTOR, ".choices a").send_keys(Keys.ENTER)
    heard("3 datasets")
    assert chrome.switch_to.active_element.get_attribute("id") == "total"
    chrome.find_element(By.CSS_SELECTOR, "a.skip[href='#total']").send_keys(Keys.ENTER)
    until(chrome, lambda driver: driver.switch_to.active_element.get_attribute("id") == "total")
    chrome.switch_to.active_element.send_keys(Keys.TAB)
    assert chrome.switch_to.active_element.get_attribute("id") == "sort"
