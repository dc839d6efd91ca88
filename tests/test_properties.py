"""What holds for every URI and every order, whatever they are made of.

That of texts to search for is in dataset/test_text_query.py and plugins/, that of dataset documents in
test_hostile_input.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cmp_to_key
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import registration
from dservercore.catalog.scope import OPERATOR
from dservercore.dataset import uris
from dservercore.dataset.fields import DATASET_SORT_FIELDS
from dservercore.errors import InvalidValueError
from dservercore.rest.sort import SortParameters
from support.fuzzing import examples
from support.world import BLUE, READER, RED, dataset_info
from support.worlds import World, world

pytestmark = pytest.mark.attack

any_text = st.text(st.characters(codec=None), max_size=60)
tricky = st.lists(
    st.sampled_from([*"aZ0/:.?#%\\@[]+ \t\n\0é", "..", "://", "s3://", "file:", "%2e", "%2F"]), max_size=30
).map("".join)
texts = any_text | tricky
schemes = st.from_regex(r"[A-Za-z][A-Za-z0-9+.-]{0,8}", fullmatch=True)
parts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/?#"), min_size=1, max_size=12
)
places = st.lists(parts, min_size=1, max_size=4).map("/".join)
located = st.builds(
    lambda scheme, slash, place: f"{scheme}://{slash}{place}", schemes, st.sampled_from(["", "/"]), places
)


def refused(check: Callable[..., Any], *arguments: Any, field: str) -> bool:
    """Return whether the arguments are refused, for what the field holds."""
    try:
        check(*arguments)
    except InvalidValueError as error:
        return list(error.errors or {}) == [field]
    return False


def accepted_base_uri(text: str) -> str | None:
    return None if refused(uris.check_base_uri, text, field="base_uri") else uris.check_base_uri(text)


class TestURIs:
    @examples(300)
    @given(texts | located)
    @example("s3://")
    @example("s3:///")
    @example("file:///..")
    @example("s3://a/../b")
    def test_what_is_accepted_as_base_uri(self, text: str) -> None:
        base_uri = accepted_base_uri(text)
        if base_uri is None:
            return
        scheme, separator, place = base_uri.partition("://")
        assert separator
        assert scheme == scheme.lower()
        assert scheme.isascii()
        assert place.strip("/")
        assert not base_uri.endswith("/")
        assert not {".", ".."} & set(base_uri.split("/"))
        assert not set("?#\0\n\r\t") & set(base_uri)
        assert len(base_uri) <= uris.MAX_LENGTH
        assert uris.check_base_uri(base_uri) == base_uri
        assert uris.check_base_uri(base_uri + "/") == base_uri

    @examples(200)
    @given(located, texts)
    def test_a_dataset_lies_in_its_base_uri_one_level_deep(self, text: str, segment: str) -> None:
        base_uri = accepted_base_uri(text)
        assume(base_uri)
        assert base_uri
        uri = f"{base_uri}/{segment}"
        if refused(uris.check_dataset_uri, uri, base_uri, field="uri"):
            return
        assert uris.check_dataset_uri(uri, base_uri) == segment
        assert segment
        assert not set("/?#") & set(segment)
        assert segment not in (".", "..")
        assert uris.parent(uri) == base_uri
        for other in (base_uri + "x", base_uri[:-1], base_uri + "/x", base_uri + "/", uri):
            with pytest.raises(InvalidValueError):
                uris.check_dataset_uri(uri, other)

    @examples(200)
    @given(located, parts)
    def test_every_spelling_in_a_path_is_of_the_same_dataset(self, text: str, segment: str) -> None:
        base_uri = accepted_base_uri(text)
        assume(base_uri)
        assume(segment not in (".", ".."))
        uri = f"{base_uri}/{segment}"
        short = uris.uri_to_url_suffix(uri)
        spellings = [uri]
        if "://" not in short:  # else it looks like a full one
            spellings.append(short)
            if not uri.partition("://")[2].startswith("/"):  # of the host that is not there nothing is left
                spellings.append(uri.replace("://", ":/", 1))
        for spelling in spellings:
            for encoded in (quote(spelling, safe=""), quote(spelling, safe="/:"), quote(spelling)):
                assert uris.url_suffix_to_uri(unquote(encoded)) == uri, spelling

    @examples(300)
    @given(texts)
    @example("s3:/a://b")
    def test_what_a_path_stands_for_stands_for_itself(self, text: str) -> None:
        uri = uris.url_suffix_to_uri(text)
        assume("://" in uri)
        assert uris.url_suffix_to_uri(uri) == uri

    @examples(200)
    @given(texts)
    def test_a_place_on_the_command_line_is_a_uri_or_an_error(self, text: str) -> None:
        try:
            uri = uris.uri_of_location(text)
        except ValueError:
            return
        assert not uri.endswith("/") or not uri.rstrip("/")
        assert "\0" not in uri


class TestOrders:
    @examples(200)
    @given(texts)
    def test_any_text_is_an_order_and_is_written_as_one(self, text: str) -> None:
        order = SortParameters(text).order
        assert all(direction in (1, -1) for direction in order.values())
        written = ",".join(f"{'+' if direction > 0 else '-'}{field}" for field, direction in order.items())
        assert SortParameters(written).order == order
        assert repr(SortParameters(text)) == f"SortParameters(sort={written!r})"

    @pytest.fixture(scope="class")
    def here(self, tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
        """Some datasets that have much in common."""
        with world(tmp_path_factory.mktemp("orders"), key_pair) as here:
            with here.app.app_context():
                for n in range(12):
                    info = dataset_info(
                        [RED, BLUE][n % 2],
                        name=f"name{n % 3}",
                        creator_username=["olga", "Olga", "émile", "zoe"][n % 4],
                        frozen_at=1e9 + n % 5,
                        created_at=1e9 + n % 2 / 1e6,
                        readme="common",
                    )
                    registration.register_dataset(OPERATOR, operator_scope("register"), info)
                sql_db.session.commit()
            yield here

    @examples(40)
    @given(
        fields=st.lists(
            st.tuples(st.sampled_from(["", "+", "-"]), st.sampled_from(DATASET_SORT_FIELDS)), max_size=4
        ),
        free_text=st.sampled_from(["", "free_text=common&"]),
        page_size=st.sampled_from([1, 5, 12]),
    )
    def test_pages_are_what_sorting_everything_gives(
        self, here: World, fields: list[tuple[str, str]], free_text: str, page_size: int
    ) -> None:
        text = quote(",".join(sign + field for sign, field in fields))
        found: list[dict[str, Any]] = []
        for page in range(1, 12 // page_size + 2):
            path = f"/uris?{free_text}sort={text}&page={page}&page_size={page_size}"
            answer = here.send("GET", path, READER)
            if answer.status_code == 404 or not answer.json:
                break
            found += answer.json
            order = json.loads(answer.headers["X-Sort"])["sort"]
        assert order == (SortParameters(text and unquote(text)).order or {"uri": 1})
        everything = here.send("GET", "/uris?page_size=100", READER).json

        def compare(one: dict[str, Any], other: dict[str, Any]) -> int:
            for field, direction in {**order, "uri": order.get("uri", 1)}.items():
                if one[field] != other[field]:
                    return direction if one[field] > other[field] else -direction
            return 0

        assert found == sorted(everything, key=cmp_to_key(compare))

    @examples(100)
    @given(texts)
    def test_any_text_is_answered(self, here: World, text: str) -> None:
        for path in ("/uris", "/uris?free_text=common"):
            joined = "&" if "?" in path else "?"
            answer = here.send(
                "GET", f"{path}{joined}sort={quote(text.encode('utf-8', 'surrogatepass'))}", READER
            )
            if answer.status_code != 200:
                assert answer.status_code == 422
                assert list(answer.json["errors"]) == ["query"]
