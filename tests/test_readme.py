"""The README does what it says on the machine of somebody who has only the clone, with Python but no ``python``.

Everything is typed as it stands there, the installation included.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support.walking import Walk

CHECKOUT = Path(__file__).parent.parent

README = Walk(
    CHECKOUT / "README.rst",
    start="dservercore",
    not_run={
        "make demo": "tests/test_demo.py runs the demo",
        "make test-all": "runs this test",
        (
            "SQLALCHEMY_DATABASE_URI=postgresql://user:password@host/database\n"
            "SQLALCHEMY_DATABASE_URI=mysql://user:password@host/database"
        ): "no such servers here",
        "DSERVER_SEARCH_PLUGIN=MongoSearch\nDSERVER_RETRIEVE_PLUGIN=MongoRetrieve": "no MongoDB here",
        "flask serve --host 0.0.0.0 --workers 4": "would open this machine to its network",
    },
    substituted={"file://laptop/home/alice": "file://{host}{home}"},
    servers={"flask serve": "flask serve --port {port}"},
    terminals=True,
)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "again", ["", "Install and start"], ids=["read on", "each chapter in a new terminal"]
)
def test_readme_does_what_it_says(again: str, tmp_path: Path) -> None:
    replace(README, again=again).go(tmp_path)
