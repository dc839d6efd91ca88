"""Collect the texts of the pages in ``locale/messages.pot``, from which a translation is made.

Run by ``make texts``. With ``--check`` nothing is written: it is an error if a text is missing there, or is
no longer used.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).parent.parent / "src/dservercore"
PLACE = PACKAGE / "web/locale/messages.pot"
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "noted": None}


def collected() -> Catalog:
    """Return the texts, in the order in which a reader of the code meets them."""
    catalog = Catalog(project="dservercore", charset="utf-8")
    found = extract_from_dir(
        PACKAGE, METHODS, {"**/templates/**.html": {"newstyle_gettext": "true"}}, KEYWORDS
    )
    for path, _line, message, _comments, context in sorted(found, key=lambda one: (one[0], one[1])):
        catalog.add(message, locations=[(path, 0)], context=context)
    return catalog


def main() -> None:
    """Write the file, or compare it."""
    catalog = collected()
    if "--check" in sys.argv[1:]:
        there = read_po(io.BytesIO(PLACE.read_bytes())) if PLACE.exists() else Catalog()
        different = {str(m.id) for m in catalog} ^ {str(m.id) for m in there}
        sys.exit(f"Run make texts: {sorted(different)}" if different else 0)
    PLACE.parent.mkdir(exist_ok=True)
    with PLACE.open("wb") as file:
        write_po(file, catalog, omit_header=True, include_lineno=False, width=120)


if __name__ == "__main__":
    main()
