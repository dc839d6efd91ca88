"""The style sheets of all pages are sent as one: none changes what another one says."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from dservercore import web

STYLE_SHEETS = sorted((Path(web.__file__).parent / "static" / "css").glob("*.css"))


def test_no_class_has_rules_of_its_own_in_two_style_sheets():
    names = defaultdict(set)
    for path in STYLE_SHEETS:
        for name in re.findall(r"^(\.[\w-]+) \{", path.read_text(), re.MULTILINE):
            names[name].add(path.name)
    assert len(names) > 50
    assert {name: files for name, files in names.items() if len(files) > 1} == {}
