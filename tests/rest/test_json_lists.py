"""A JSON list that is read element by element says the same as one that is read whole."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import BadRequest, UnprocessableEntity

from dservercore.rest import json_lists

pytestmark = pytest.mark.attack

_app = Flask("lists")
_app.config.update(
    DSERVER_MAX_TAGS=10,
    MAX_CONTENT_LENGTH=2**20,
    DSERVER_MAX_README_LENGTH=50_000,
    DSERVER_MAX_ANNOTATIONS_LENGTH=100,
)


def read(body: bytes, monkeypatch: pytest.MonkeyPatch, chunk: int = 1, most: int = 1000) -> list[Any]:
    """Return the elements of a list, of which so many bytes come at once."""
    monkeypatch.setattr(json_lists, "_CHUNK", chunk)
    with _app.app_context():
        json_lists.check_list(io.BytesIO(body), most)
        return [element.document for element in json_lists.elements(io.BytesIO(body), most)]


GOOD = [
    b"\xef\xbb\xbf[1]",
    b"[]",
    b" [ ] ",
    b"[1]",
    b"[12345678901234567]",
    b"[-1.5e10,0.25 , -0]",
    b"[true,false,null]",
    b'["", "a\\"]b", "\\\\", "\\ud83d\\ude00", "\xc3\xa9\xf0\x9f\x98\x80"]',
    b'[{"a": [1, {"b": "]"}]}, [[]], {}]',
    b"\n\t[\r\n{}\n,\n{}\n]\n",
    b"[" + b"{}," * 500 + b"{}]",
]
BAD = [
    b"",
    b" ",
    b"[",
    b"[1",
    b"[1,",
    b"[1,]",
    b"[,1]",
    b"[1 2]",
    b"[1]]",
    b"[1] x",
    b"[tru]",
    b"[nul",
    b"[-]",
    b"[1.]",
    b"[NaN]",
    b"[Infinity]",
    b'["a]',
    b'["\\x"]',
    b'["\\u12"]',
    b"['a']",
    b"[{]",
    b'[{"a"}]',
    b'[{"a":}]',
    b"[\xff]",
    b"[1]\xff",
    b'["\xc3"]',
    b'["\xc3',
    b"{}{}",
    b"\xef\xbb\xbf\xef\xbb\xbf[]",
    b"[\xef\xbb\xbf]",
    b"[" * 100_000,
]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 2**16])
@pytest.mark.parametrize("body", GOOD)
def test_a_list_in_whatever_pieces(body: bytes, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(body, monkeypatch, chunk) == json.loads(body)


@pytest.mark.parametrize("chunk", [1, 5, 2**16])
@pytest.mark.parametrize("body", BAD)
def test_what_is_no_json(body: bytes, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest):
        read(body, monkeypatch, chunk)


@pytest.mark.parametrize("body", [b"{}", b"1", b'"[]"', b"null", b"[1,2,3]", b"[1,2,3"])
def test_what_is_no_list_or_too_long(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnprocessableEntity):
        read(body, monkeypatch, most=2)


def test_anything_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(3)
    for _ in range(1000):
        body = bytes(chance.choices(b'[]{},:"\\ 1-.etrufalsn\n\xc3\xa9', k=chance.randrange(12)))
        body = b"[" + body + b"]"
        try:
            expected = json.loads(body.decode())
        except ValueError:
            with pytest.raises(BadRequest):
                read(body, monkeypatch, 2)
        else:
            assert read(body, monkeypatch, 2) == expected


def test_an_element_of_more_elements_than_a_dataset_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnprocessableEntity):
        read(b"[[" + b"[]," * 200_000 + b"[]]]", monkeypatch, 2**16)
    text = json.dumps(["," * 300_000, {"a": '"[' * 100_000}]).encode()  # which are no elements
    assert read(text, monkeypatch, 2**16) == json.loads(text)


def test_a_text_that_is_longer_than_any_is_refused_before_it_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for filler in ("a", '\\"', "\\\\"):
        body = ('[{}, {"readme": "😀' + filler * 1_000_000).encode()  # of which the end does not come
        with pytest.raises(UnprocessableEntity) as error:
            read(body, monkeypatch, chunk=2**14)
        assert 'The text "readme" is longer than 665,536 bytes' in str(error.value.data)
