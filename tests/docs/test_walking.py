"""A walk through a document fails where the document is not true."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from support.walking import Walk, blocks, commands, difference_between

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")


def walk(tmp_path: Path, text: str, **options: object) -> None:
    document = tmp_path / "document.rst"
    document.write_text(textwrap.dedent(text))
    home = tmp_path / "home"
    home.mkdir()
    replace(Walk(document), **options).go(home)


TRUE = """
    Title
    =====

    .. code-block:: bash

        NAME=alice
        mkdir -p place && cd place

    Save this as ``greeting.txt``:

    .. code-block:: none

        hello

    .. code-block:: bash

        echo "$NAME:" $(cat greeting.txt)

    .. code-block:: text

        alice: ...

    .. code-block:: bash

        echo '{"name": "alice", "uuid": "1", "more": [1, 2]}'

    .. code-block:: json

        {"name": "alice", "uuid": "2", "...": "..."}
    """


def test_a_true_document(tmp_path: Path) -> None:
    walk(tmp_path, TRUE)


@pytest.mark.parametrize(
    ("what_is_written", "what_is_not_true"),
    [
        ("alice: ...", "bob: ..."),
        ('"name": "alice", "uuid": "2"', '"name": "bob", "uuid": "2"'),
        (', "...": "..."', ""),
        ("echo '{", "false; cat missing '{"),
        ("mkdir -p place", "mkdir place/place"),
        ("Save this as ``greeting.txt``:", "Save this:"),
    ],
)
def test_a_document_that_is_not_true(tmp_path: Path, what_is_written: str, what_is_not_true: str) -> None:
    assert what_is_written in TRUE
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        walk(tmp_path, TRUE.replace(what_is_written, what_is_not_true))


def test_an_included_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "included.txt").write_text("\nhello\n\n  there\n")
    document = """
        Save this as ``place/greeting.txt``:

        .. literalinclude:: included.txt
           :language: text

        .. code-block:: bash

            cat place/greeting.txt

        .. code-block:: text

            hello
            there
        """
    walk(tmp_path, document)
    (tmp_path / "included.txt").write_text("goodbye\n")
    shutil.rmtree(tmp_path / "home")
    with pytest.raises(AssertionError):
        walk(tmp_path, document)


def test_a_list_of_what_is_not_run_must_not_outlive_its_commands(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no more of"):
        walk(tmp_path, TRUE, not_run={"make demo": "no time"})


def test_a_command_that_is_documented_to_fail_must_fail(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="meant to fail"):
        walk(tmp_path, ".. code-block:: bash\n\n    true\n", failing=frozenset({"true"}))


def test_blocks_know_their_section_and_line(tmp_path: Path) -> None:
    document = tmp_path / "document.rst"
    document.write_text(
        "One\n===\n\nRun::\n\n    this\n\nTwo\n---\n\n.. code-block:: bash\n   :name: x\n\n   that\n"
    )
    assert [(b.language, b.text, b.section, b.line) for b in blocks(document)] == [
        ("", "this", "One", 4),
        ("bash", "that", "Two", 11),
    ]


def test_commands_have_all_their_lines() -> None:
    text = "# a comment\ncurl -X PUT \\\n  -d '{\n  }' x\n\ncat <<END\na b\nEND\nls\n"
    assert list(commands(text)) == ["curl -X PUT \\\n  -d '{\n  }' x", "cat <<END\na b\nEND", "ls"]


@pytest.mark.parametrize(
    ("documented", "answered", "is_true"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "...": "..."}, {"a": 1, "b": 2}, True),
        ([1, "..."], [1, 2, 3], True),
        ([1], [1, 2], False),
        ({"uuid": "x"}, {"uuid": "y"}, True),
        ({"uuid": "x"}, {"uuid": None}, False),
    ],
)
def test_comparison(documented: object, answered: object, is_true: bool) -> None:
    assert (difference_between(documented, answered) == "") is is_true
