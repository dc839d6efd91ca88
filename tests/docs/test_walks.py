"""The tutorial and the how-to guides do what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mongod import Mongod
from walking import Walk

DOCS = Path(__file__).parents[2] / "docs"

RUN = {"flask run": "flask run --port {port}"}

#: What most guides take for granted: a server with an administrator, and a directory with two datasets.
SERVER = """
export FLASK_APP=dservercore
export DSERVER_DATA_DIR={home}/server
flask init --admin alice
"""
DATASETS = """
mkdir -p data/datasets
echo "an item" > item.txt
python -c "
from dtoolcore import DataSetCreator
for name in ('beans', 'peas'):
    readme = f'description: Pods of runner {name}, counted twice\\n'
    with DataSetCreator(name, 'data/datasets', readme, creator_username='alice') as dataset:
        dataset.put_item('item.txt', 'item.txt')
        dataset.put_tag(name)
"
BASE_URI="file://$(hostname)$PWD/data/datasets"
"""
INDEXED = """
flask base_uri add data/datasets
flask base_uri index data/datasets
flask user search_permission alice data/datasets
flask user register_permission alice data/datasets
HEADER="Authorization: Bearer $(flask user token alice)"
"""
ON_THIS_MACHINE = {
    "file://laptop/data/datasets": "file://{host}{home}/data/datasets",
    "/data/datasets": "{home}/data/datasets",
}

WALKS = {
    "tutorial": Walk(
        DOCS / "tutorial.rst",
        not_run={
            "python -m venv venv": "the walk has made an environment",
            ". venv/bin/activate": "the walk has made an environment",
            "pip install dservercore": "the walk has installed this checkout",
        },
        servers=RUN,
    ),
    "index-a-base-uri": Walk(
        DOCS / "how-to" / "index-a-base-uri.rst",
        before=f"{SERVER}{DATASETS}flask user add olga",
        not_run={
            "flask base_uri add s3://my-bucket\nflask base_uri index s3://my-bucket --jobs 16": "no bucket here",
            (
                "10 3 * * *  FLASK_APP=dservercore DSERVER_DATA_DIR=/srv/dserver /srv/dserver/venv/bin/flask "
                "base_uri index s3://my-bucket >/dev/null"
            ): "a line of a crontab",
        },
        substituted=ON_THIS_MACHINE,
        failing=frozenset({"flask base_uri delete /data/datasets"}),
    ),
    "register-many-datasets": Walk(
        DOCS / "how-to" / "register-many-datasets.rst",
        before=f"{SERVER}{DATASETS}{INDEXED}",
        is_served=True,
        substituted=ON_THIS_MACHINE,
    ),
    "users-and-permissions": Walk(
        DOCS / "how-to" / "users-and-permissions.rst",
        before=f"{SERVER}flask base_uri add s3://my-bucket",
        is_served=True,
        not_run={
            "export DISABLE_JWT_AUTHORISATION=true DEFAULT_USER=olga": "for the server, which is running",
            (
                "TIME (UTC)           WHO            ACTION         ON     FROM          DETAILS\n"
                '2026-11-24 10:30:12  alice          grant.search   olga   192.0.2.17    {"base_uri":"s3://my-bucket"}\n'
                "2026-11-24 10:29:55  operator:root  user.create    olga   command line  "
                '{"is_admin":false,"display_name":null}'
            ): "what another server prints, whose administrator came through the API",
        },
        failing=frozenset(
            {
                'curl -H "$HEADER" -H "Content-Type: application/json" \\\n'
                """    -X PUT -d '{"users_with_search_permissions": ["olga", "nobody"]}' \\\n"""
                "    http://localhost:5000/base-uris/s3/my-bucket"
            }
        ),
    ),
    "edit-metadata": Walk(
        DOCS / "how-to" / "edit-metadata.rst",
        before=f"{SERVER}{DATASETS}{INDEXED}",
        is_served=True,
        failing=frozenset(
            {
                'curl -H "$HEADER" -H "Content-Type: application/json" -H "If-Match: $TAG" \\\n'
                """    -X PUT -d '{"readme": "description: Pods\\n"}' "http://localhost:5000/readmes/$URI\""""
            }
        ),
    ),
    "tokens-from-another-server": Walk(
        DOCS / "how-to" / "tokens-from-another-server.rst",
        before=SERVER,
        failing=frozenset({"flask user token alice"}),
    ),
    "back-up": Walk(
        DOCS / "how-to" / "back-up.rst",
        before=SERVER,
        is_served=True,
        not_run={
            'sqlite3 "$DSERVER_DATA_DIR/app.db" ".backup backup/app.db"': "the program may not be installed",
            'flask backup - | ssh vault "cat > dserver-$(date +%F).tar"': "no other machine here",
            (
                "flask backup --with-keys dserver.tar"
                ' && mongodump --uri "$SEARCH_MONGO_URI" --archive=dserver.mongo'
            ): "the program may not be installed",
            (
                "15 2 * * *  FLASK_APP=dservercore DSERVER_DATA_DIR=/srv/dserver /srv/dserver/venv/bin/flask "
                "backup --force /srv/backup/dserver-$(date +\\%a).tar"
            ): "a line of a crontab",
            (
                "# /etc/systemd/system/dserver-backup.service\n"
                "[Service]\n"
                "Type=oneshot\n"
                "User=dserver\n"
                "EnvironmentFile=/etc/dserver.env\n"
                "ExecStart=/bin/sh -c '/srv/dserver/venv/bin/flask backup --force"
                " /srv/backup/dserver-$(date +%%a).tar'\n"
                "\n"
                "# /etc/systemd/system/dserver-backup.timer\n"
                "[Timer]\n"
                "OnCalendar=02:15\n"
                "Persistent=true\n"
                "\n"
                "[Install]\n"
                "WantedBy=timers.target"
            ): "takes systemd",
            (
                "pg_dump --format=custom --file=dserver.pgdump dserver\n"
                "pg_restore --clean --if-exists --no-owner --single-transaction --exit-on-error"
                " --dbname=dserver dserver.pgdump"
            ): "takes a PostgreSQL server",
        },
    ),
    "use-mongodb": Walk(
        DOCS / "how-to" / "use-mongodb.rst",
        before=f"{SERVER}{DATASETS}{INDEXED}",
        not_run={
            'pip install "dservercore[mongo]"': "it is installed",
            "export SEARCH_MONGO_URI='mongodb://one,two,three/?replicaSet=rs'": "no replica set here",
        },
        substituted={"s3://my-bucket": "{home}/data/datasets"},
    ),
    "write-a-plugin": Walk(
        DOCS / "how-to" / "write-a-plugin.rst",
        before=f"{SERVER}{DATASETS}{INDEXED}",
        servers=RUN,
        failing=frozenset({"WORDCOUNT_LETTERS=many flask config versions"}),
        installs=True,
    ),
}

NOT_WALKED = {
    "run-in-production": "takes root, systemd and nginx",
    "move-to-postgresql": "takes a PostgreSQL or MariaDB server, and a search plugin for it",
    "come-from-the-original": "takes an installation of the original: tests/ecosystem/test_original_database.py",
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", WALKS)
def test_commands_do_what_is_written(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    walk = WALKS[name]
    if name == "use-mongodb":
        mongod: Mongod = request.getfixturevalue("mongod")
        walk = replace(walk, substituted={**walk.substituted, "mongodb://localhost:27017/": mongod.uri})
    walk.go(tmp_path)


def test_every_guide_is_walked_or_has_a_reason() -> None:
    guides = {page.stem for page in (DOCS / "how-to").glob("*.rst")} | {"tutorial"}
    assert guides == set(WALKS) | set(NOT_WALKED)
