"""The README does what it says, from top to bottom, on the machine of somebody who has nothing yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from walking import Walk

CHECKOUT = Path(__file__).parent.parent

README = Walk(
    CHECKOUT / "README.rst",
    not_run={
        (
            "export DSERVER_SEARCH_PLUGIN=mongo\nexport DSERVER_RETRIEVE_PLUGIN=mongo\n"
            "export SEARCH_MONGO_URI=mongodb://localhost:27017/\nexport SEARCH_MONGO_DB=dserver\n"
            "export SEARCH_MONGO_COLLECTION=datasets\nexport RETRIEVE_MONGO_URI=mongodb://localhost:27017/\n"
            "export RETRIEVE_MONGO_DB=dserver\nexport RETRIEVE_MONGO_COLLECTION=datasets"
        ): "docs/how-to/use-mongodb.rst is walked",
        "make demo": "tests/test_demo.py runs the demo",
        "make test": "runs this test",
        "export SQLALCHEMY_DATABASE_URI=postgresql+psycopg2://user:password@host/database": "no such server here",
        "export DSERVER_SEARCH_PLUGIN=MongoSearch\nexport DSERVER_RETRIEVE_PLUGIN=MongoRetrieve": "no MongoDB here",
    },
    substituted={
        "file://laptop/home/alice": "file://{host}{home}",
        "/srv/": "{home}/srv/",
    },
    servers={
        "flask run": "flask run --port {port}",
        "gunicorn --bind 127.0.0.1:5000 --workers 4 'dservercore:create_app()'": (
            "gunicorn --bind 127.0.0.1:{port} --workers 4 'dservercore:create_app()'"
        ),
    },
    installs=True,
    # Each of these moves keys or database elsewhere, for its own commands alone.
    asides=frozenset({"Database and data directory", "Keys", "Tokens from another server"}),
)


@pytest.mark.timeout(600)
def test_readme_does_what_it_says(tmp_path: Path) -> None:
    README.go(tmp_path)
