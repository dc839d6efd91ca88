"""The tutorial and the how-to guides do what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support.environments import copy_environment
from support.mongod import Mongod
from support.walking import SERVE, Walk, blocks

DOCS = Path(__file__).parents[2] / "docs"

SERVERS = {"flask serve": SERVE}

#: What is set in every terminal of a reader who has a server, and what most guides take for granted: an administrator,
#: and a directory with two datasets.
SETTINGS = {"FLASK_APP": "dservercore", "DSERVER_DATA_DIR": "{home}/server"}
SERVER = "flask init --admin alice"
DATASETS = """
mkdir -p data/datasets
echo "an item" > item.txt
python3 -c "
from dtoolcore import DataSetCreator
for name in ('beans', 'peas'):
    readme = f'description: Pods of runner {name}, counted twice\\n'
    with DataSetCreator(name, 'data/datasets', readme, creator_username='alice') as dataset:
        dataset.put_item('item.txt', 'item.txt')
        dataset.put_tag(name)
"
"""
INDEXED = """
flask base_uri add data/datasets
flask base_uri index data/datasets
flask user search_permission alice data/datasets
flask user register_permission alice data/datasets
"""
MAKE_DATASETS = next(block.text for block in blocks(DOCS.parent / "README.rst") if block.language == "python")
OF_THE_README = f"""
cat > make_datasets.py <<'END'
{MAKE_DATASETS}
END
python3 make_datasets.py
flask base_uri add dtool-demo
flask base_uri index dtool-demo
flask user add bob
flask user search_permission bob dtool-demo
flask user register_permission bob dtool-demo
"""
ON_THIS_MACHINE = {
    "file://laptop/data/datasets": "file://{host}{home}/data/datasets",
    "/data/datasets": "{home}/data/datasets",
}

QUERIES = blocks(DOCS / "how-to" / "watch-the-server.rst")[-1].text

WALKS = {
    "tutorial": Walk(
        DOCS / "tutorial.rst",
        servers=SERVERS,
        terminals=True,
    ),
    "index-a-base-uri": Walk(
        DOCS / "how-to" / "index-a-base-uri.rst",
        before=f"{SERVER}{DATASETS}\nflask user add olga",
        not_run={
            "flask base_uri add s3://my-bucket\nflask base_uri index s3://my-bucket --jobs 16": "no bucket here",
            (
                "10 3 * * *  FLASK_APP=dservercore DSERVER_DATA_DIR=/srv/dserver /srv/dserver/venv/bin/flask "
                "base_uri index s3://my-bucket >/dev/null"
            ): "a line of a crontab",
            (
                "0 registered, 0 unchanged, 0 failed\n"
                "Nothing removed: 2 of the 2 datasets registered in file://laptop/data/datasets are not in its "
                "storage, more than 50 %\n"
                "(DSERVER_PRUNE_LIMIT). Is it mounted, and whole? --prune-all removes them"
            ): "what a share prints that is not mounted: tests/cli/test_index.py has one",
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
        before=SERVER,
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
    "open-a-bucket": Walk(
        DOCS / "how-to" / "open-a-bucket.rst",
        before=f"{SERVER}{DATASETS}",
        is_served=True,
        not_run={
            (
                "Whoever can reach the server may find and read the 2 datasets in 'file://laptop/data/datasets', "
                "without a token"
            ): "on standard error: tests/cli/test_base_uris.py has it",
        },
        substituted=ON_THIS_MACHINE,
        failing=frozenset(
            {
                "curl http://localhost:5000/readmes/s3/another-bucket/0b4ff5ba-1ad5-4a4d-9d4a-1fcdd4a4b9b4",
                "curl http://localhost:5000/uris",
            }
        ),
    ),
    "tokens-for-programs": Walk(
        DOCS / "how-to" / "tokens-for-programs.rst",
        before=SERVER,
        is_served=True,
    ),
    "edit-metadata": Walk(
        DOCS / "how-to" / "edit-metadata.rst",
        before=f"{SERVER}{DATASETS}{INDEXED}",
        is_served=True,
        substituted=ON_THIS_MACHINE,
        failing=frozenset(
            {
                'curl -H "$HEADER" -H "Content-Type: application/json" -H "If-Match: $TAG" \\\n'
                """    -X PUT -d '{"readme": "description: Pods\\n"}' "http://localhost:5000/readmes/$URI\""""
            }
        ),
    ),
    "find-datasets": Walk(
        DOCS / "how-to" / "find-datasets.rst",
        before=f"{SERVER}{DATASETS}{INDEXED}",
        is_served=True,
        substituted=ON_THIS_MACHINE,
    ),
    "use-a-client": Walk(
        DOCS / "how-to" / "use-a-client.rst",
        before=f"{SERVER}{DATASETS}{INDEXED}flask user token alice > token",
        opening="TOKEN=$(cat token)",
        is_served=True,
        substituted=ON_THIS_MACHINE,
    ),
    "make-requests": Walk(
        DOCS / "how-to" / "make-requests.rst",
        before=f"{SERVER}\n{OF_THE_README}",
        is_served=True,
        substituted={"file://laptop/home/alice/dserver": "file://{host}{home}"},
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
            "export SEARCH_MONGO_URI='mongodb://one,two,three/?replicaSet=rs'": "no replica set here",
        },
        substituted={"s3://my-bucket": "{home}/data/datasets"},
    ),
    "write-a-plugin": Walk(
        DOCS / "how-to" / "write-a-plugin.rst",
        before=f"{SERVER}{DATASETS}{INDEXED}",
        servers=SERVERS,
        substituted=ON_THIS_MACHINE,
        failing=frozenset({"WORDCOUNT_LETTERS=many flask config versions"}),
    ),
    "write-an-extension": Walk(
        DOCS / "how-to" / "write-an-extension.rst",
        before=f"{SERVER}{DATASETS}{INDEXED}",
        servers=SERVERS,
        substituted=ON_THIS_MACHINE,
    ),
    "structured-queries": Walk(
        DOCS / "how-to" / "structured-queries.rst",
        before=f"{SERVER}{DATASETS}{INDEXED}",
        servers={"flask serve": f"DSERVER_EXTENSIONS=query DSERVER_ALLOW_DIRECT_AGGREGATION=true {SERVE}"},
        substituted=ON_THIS_MACHINE,
    ),
    "watch-the-server": Walk(
        DOCS / "how-to" / "watch-the-server.rst",
        before=SERVER,
        servers=SERVERS,
        failing=frozenset({"curl --fail http://localhost:5000/metrics"}),
        not_run={QUERIES: "takes Prometheus"},
    ),
}

NOT_WALKED = {
    "provenance": "names datasets of a bucket: tests/plugins/graph, tests/ecosystem/test_dtool_lookup_api_graph.py",
    "notifications": "takes an object store: tests/plugins/notification/test_end_to_end.py has one",
    "signed-urls": "takes a bucket: tests/plugins/signed_url has one, and directories",
    "pages": "takes a clone, npm and Chromium: tests/web/test_shipped.py",
    "run-with-docker-compose": "takes Docker: tests/docs/test_docker_guide.py reads it",
    "run-in-production": "takes root, systemd and nginx",
    "move-to-postgresql": "takes a PostgreSQL or MariaDB server, and a search plugin for it",
    "sign-in": "takes somebody who types a password: tests/cli/test_sign_in.py, tests/web/test_sign_in_pages.py",
    "sign-in-with-ldap": "takes a directory: tests/auth/test_ldap.py has one",
    "sign-in-with-a-provider": "takes a provider: tests/auth/oidc has several",
    "come-from-the-original": "takes an installation of the original: tests/ecosystem/test_original_database.py",
}


#: Guides that install something beside the server, and so need an environment of their own.
INSTALLING = ("use-mongodb", "watch-the-server", "write-a-plugin", "write-an-extension")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", WALKS)
def test_commands_do_what_is_written(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    walk = WALKS[name]
    if name == "use-mongodb":
        mongod: Mongod = request.getfixturevalue("mongod")
        walk = replace(walk, substituted={**walk.substituted, "mongodb://localhost:27017/": mongod.uri})
    home = tmp_path / "home"
    home.mkdir()
    if name == "tutorial":
        walk.go(home)
        return
    environment: Path = request.getfixturevalue("installation")
    if name in INSTALLING:
        environment = copy_environment(environment, tmp_path / "own")
    replace(walk, settings=SETTINGS).go(home, environment)


def test_every_guide_is_walked_or_has_a_reason() -> None:
    guides = {page.stem for page in (DOCS / "how-to").glob("*.rst")} | {"tutorial"}
    assert guides == set(WALKS) | set(NOT_WALKED)
