"""What users of the original server do, as its README taught them, works here.

Every command and request of that README, except for those that set up MongoDB and MySQL. Its base URI
``s3://dtool-demo`` is a directory here, and its datasets are made with dtoolcore, under the UUIDs that it names.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.readers_machine import Ran, Shell, make_machine
from support.waiting import free_port

GENOME = "8ecd8e05-558a-48e2-b563-0c9ea273e71e"
MICROSCOPY = "ba92a5fa-d3b4-4f10-bcb9-947f62e652db"

# UUID: name, README, tags, annotations
DATASETS: dict[str, tuple[str, str, list[str], dict[str, Any]]] = {
    GENOME: ("Escherichia-coli-ref-genome", "organism: Escherichia coli\n", ["genome"], {}),
    MICROSCOPY: (
        "hypocotyl3",
        "description: Microscopy of hypocotyl cells\n",
        ["image"],
        {"magnification": 40},
    ),
    "faa44606-cb86-4877-b9ea-643a3777e021": ("Escherichia-coli-reads-ERR022075", "sequencer: GAII\n", [], {}),
}

DATASET_INFO: dict[str, Any] = {
    "uuid": GENOME,
    "base_uri": "s3://dtool-demo",
    "uri": f"s3://dtool-demo/{GENOME}",
    "name": "Escherichia-coli-ref-genome",
    "type": "dataset",
    "readme": '{"accession_id":"U00096.3"},',
    "manifest": {
        "dtoolcore_version": "3.18.2",
        "hash_function": "md5sum_hexdigest",
        "items": {
            "26f0d76fb3c3e34f0c7c8b7c3461b7495761835c": {
                "hash": "06d80eb0c50b49a509b49f2424e8c805",
                "relpath": "dog.txt",
                "size_in_bytes": 3,
                "utc_timestamp": 1716979579.898408,
            }
        },
    },
    "creator_username": "olssont",
    "frozen_at": "1537916653.7",
    "created_at": "1537802877.62",
    "annotations": {},
    "tags": [],
    "number_of_items": 2,
    "size_in_bytes": 9,
}


@dataclass
class Machine:
    """A machine with the server on it, and a shell to use it from."""

    shell: Shell
    home: Path
    port: int

    @property
    def base_uri(self) -> str:
        """What is in the place of ``s3://dtool-demo``."""
        return f"file://{socket.gethostname()}{self.home}/dtool-demo"

    def run(self, command: str) -> Ran:
        """Run a command of the original README, with what this machine has in place of what it names."""
        in_place = {
            "localhost:5000": f"localhost:{self.port}",
            **{f"s3://dtool-demo/{uuid}": f"{self.base_uri}/{data[0]}" for uuid, data in DATASETS.items()},
            **{
                f"s3/dtool-demo/{uuid}": f"{self.base_uri}/{data[0]}".replace("://", "/")
                for uuid, data in DATASETS.items()
            },
            "s3://dtool-demo": self.base_uri,
            "s3/dtool-demo": self.base_uri.replace("://", "/"),
        }
        for original, here in in_place.items():
            command = command.replace(original, here)
        return self.shell.run(command)

    def succeed(self, command: str) -> str:
        """Run a command; return what it prints."""
        ran = self.run(command)
        assert ran.status == 0, f"{command}\n{ran}"
        return ran.stdout

    def answer(self, command: str) -> Any:
        """Run a command that prints JSON; return that."""
        return json.loads(self.succeed(command))

    def become(self, username: str) -> None:
        """Set the header of the requests that follow."""
        # As the original has it, but once for each user: every start of flask takes a second.
        self.succeed(f"TOKEN=${{TOKEN_OF_{username}:=$(flask user token {username} --last-forever)}}")
        self.succeed('HEADER="Authorization: Bearer $TOKEN"')


@pytest.fixture(scope="module")
def machine(installation: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A new machine on which the original README was followed up to its chapter on the API."""
    home = tmp_path_factory.mktemp("home")
    shell = Shell(home, make_machine(home, installation))
    machine = Machine(shell, home, free_port())
    try:
        set_up(machine)
        yield machine
    finally:
        shell.close()


def set_up(machine: Machine) -> None:
    make_datasets(machine)
    machine.succeed("export FLASK_APP=dservercore")
    for command in ("flask db init", "flask db migrate", "flask db upgrade"):
        machine.succeed(command)
    machine.succeed("openssl genrsa -out jwt_key 2048")
    machine.succeed("openssl rsa -in jwt_key -pubout -outform PEM -out jwt_key.pub")
    machine.succeed("export JWT_PRIVATE_KEY_FILE=~/jwt_key JWT_PUBLIC_KEY_FILE=~/jwt_key.pub")
    machine.succeed("flask base_uri add s3://dtool-demo")
    indexed = machine.succeed("flask base_uri index s3://dtool-demo")
    assert indexed.splitlines() == sorted(
        f"Registered: {machine.base_uri}/{name}" for name, *_ in DATASETS.values()
    )
    machine.succeed("flask user add olssont")
    machine.succeed("flask user search_permission olssont s3://dtool-demo")
    machine.succeed("flask user register_permission olssont s3://dtool-demo")
    machine.succeed("flask user add --is_admin overlord")
    machine.shell.serve(f"flask serve --port {machine.port}", f"http://localhost:{machine.port}")


def make_datasets(machine: Machine) -> None:
    (machine.home / "dtool-demo").mkdir()
    item = machine.home / "item.txt"
    item.write_text("an item")
    for uuid, (name, readme, tags, annotated) in DATASETS.items():
        admin_metadata = {**dtoolcore.generate_admin_metadata(name, "olssont"), "uuid": uuid}
        dataset = dtoolcore.generate_proto_dataset(admin_metadata, machine.base_uri)
        dataset.create()
        dataset.put_item(str(item), "item.txt")
        dataset.put_readme(readme)
        for tag in tags:
            dataset.put_tag(tag)
        for annotation, value in annotated.items():
            dataset.put_annotation(annotation, value)
        dataset.freeze()


pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


# -- The command line


def test_openssh_keys_and_a_key_as_text(machine: Machine) -> None:
    ssh = machine.home / ".ssh"
    ssh.mkdir()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (ssh / "id_rsa").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    (ssh / "id_rsa.pub").write_bytes(public + b" user@localhost\n")
    files = "export JWT_PUBLIC_KEY_FILE=~/.ssh/id_rsa.pub; export JWT_PRIVATE_KEY_FILE=~/.ssh/id_rsa"
    assert machine.succeed(f"({files}; flask user token olssont)").startswith("eyJ")
    text = 'export JWT_PUBLIC_KEY="$(cat ~/.ssh/id_rsa.pub)"'
    shown = machine.answer(f"({text}; flask config show)")
    assert shown["JWT_PUBLIC_KEY"].startswith("-----BEGIN PUBLIC KEY-----")


def test_config(machine: Machine) -> None:
    shown = machine.answer("flask config show")
    assert shown["DEBUG"] is False
    assert shown["TESTING"] is False
    assert shown["SECRET_KEY"] == "***"
    assert machine.answer("flask config versions")["dservercore"]


def test_base_uri_list(machine: Machine) -> None:
    (listed,) = [
        entry for entry in machine.answer("flask base_uri list") if entry["base_uri"] == machine.base_uri
    ]
    assert listed.pop("last_indexed")["registered"] == 3  # which the original does not tell
    assert listed == {
        "base_uri": machine.base_uri,
        "users_with_search_permissions": ["olssont"],
        "users_with_register_permissions": ["olssont"],
    }


def test_users(machine: Machine) -> None:
    listed = {user["username"]: user for user in machine.answer("flask user list")}
    assert listed["overlord"]["is_admin"] is True
    assert listed["olssont"]["search_permissions_on_base_uris"] == [machine.base_uri]
    assert listed["olssont"]["register_permissions_on_base_uris"] == [machine.base_uri]
    assert machine.succeed("flask user token olssont").startswith("eyJ")


def test_admin_privileges_come_and_go(machine: Machine) -> None:
    for command, is_admin in (
        ("flask user update --is_admin olssont", True),
        ("flask user update olssont", False),
    ):
        machine.succeed(command)
        listed = {user["username"]: user["is_admin"] for user in machine.answer("flask user list")}
        assert listed["olssont"] is is_admin


def test_user_delete(machine: Machine) -> None:
    machine.succeed("flask user add somebody")
    machine.succeed("flask user delete somebody")
    assert "somebody" not in machine.succeed("flask user list")


# -- Standard users


@pytest.fixture
def olssont(machine: Machine) -> Machine:
    machine.become("olssont")
    return machine


def test_uuid(olssont: Machine) -> None:
    olssont.succeed(f"UUID={GENOME}")
    (found,) = olssont.answer('curl -H "$HEADER" http://localhost:5000/uuids/$UUID')
    expected = {
        "base_uri": olssont.base_uri,
        "name": "Escherichia-coli-ref-genome",
        "uri": f"{olssont.base_uri}/Escherichia-coli-ref-genome",
        "uuid": GENOME,
    }
    assert expected.items() <= found.items()


def test_summary(olssont: Machine) -> None:
    summary = olssont.answer('curl -H "$HEADER" http://localhost:5000/users/olssont/summary')
    assert summary["number_of_datasets"] == len(DATASETS)
    assert summary["creator_usernames"] == ["olssont"]
    assert summary["base_uris"] == [olssont.base_uri]
    assert summary["datasets_per_creator"] == {"olssont": len(DATASETS)}
    assert summary["datasets_per_base_uri"] == {olssont.base_uri: len(DATASETS)}
    assert summary["tags"] == ["genome", "image"]
    assert summary["datasets_per_tag"] == {"genome": 1, "image": 1}


def test_list(olssont: Machine) -> None:
    listed = olssont.answer('curl -H "$HEADER" http://localhost:5000/uris')
    assert [dataset["name"] for dataset in listed] == sorted(name for name, *_ in DATASETS.values())
    for dataset in listed:
        assert isinstance(dataset["created_at"], float)
        assert isinstance(dataset["frozen_at"], float)


def test_search(olssont: Machine) -> None:
    request = """curl -H "$HEADER" -H "Content-Type: application/json"  \\
        -X POST -d '{"free_text": "microscopy"}'  \\
        http://localhost:5000/uris"""
    assert [dataset["name"] for dataset in olssont.answer(request)] == ["hypocotyl3"]


def test_search_with_filters(olssont: Machine) -> None:
    query = {
        "base_uris": ["s3://dtool-demo"],
        "creator_usernames": ["grumpy", "olssont"],
        "free_text": "escherichia",
        "tags": ["genome"],
    }
    request = (
        f"""curl -H "$HEADER" -H "Content-Type: application/json" -X POST -d '{json.dumps(query)}' """
        "http://localhost:5000/uris"
    )
    assert [dataset["uuid"] for dataset in olssont.answer(request)] == [GENOME]


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("readmes", {"readme": DATASETS[MICROSCOPY][1]}),
        ("annotations", {"annotations": DATASETS[MICROSCOPY][3]}),
        ("tags", {"tags": DATASETS[MICROSCOPY][2]}),
    ],
)
def test_descriptions(olssont: Machine, resource: str, expected: dict[str, Any]) -> None:
    request = f"""curl -H "$HEADER" -H "Content-Type: application/json"  \\
        http://localhost:5000/{resource}/s3/dtool-demo/{MICROSCOPY}"""
    assert olssont.answer(request) == expected


def test_manifest(olssont: Machine) -> None:
    manifest = olssont.answer(
        f"""curl -H "$HEADER" -H "Content-Type: application/json"  \\
        http://localhost:5000/manifests/s3/dtool-demo/{MICROSCOPY}"""
    )
    assert [item["relpath"] for item in manifest["items"].values()] == ["item.txt"]


def test_own_permissions(olssont: Machine) -> None:
    user = olssont.answer('curl -H "$HEADER" http://localhost:5000/users/olssont')
    expected = {
        "username": "olssont",
        "is_admin": False,
        "register_permissions_on_base_uris": [olssont.base_uri],
        "search_permissions_on_base_uris": [olssont.base_uri],
    }
    assert expected.items() <= user.items()


# -- Data champions


def put_dataset(machine: Machine, uuid_in_path: str, **changes: Any) -> Ran:
    machine.succeed(f"DATASET_INFO='{json.dumps({**DATASET_INFO, **changes})}'")
    return machine.run(
        f"""curl -H "$HEADER" -H "Content-Type: application/json"  \\
        -X PUT -d "$DATASET_INFO"  \\
        http://localhost:5000/uris/s3/dtool-demo/{uuid_in_path}"""
    )


def test_the_example_of_a_registration_contradicts_itself(olssont: Machine) -> None:
    """One dataset in the path, another one as uri: the answer says so."""
    put = put_dataset(olssont, MICROSCOPY, uuid="3fa85f64-5717-4562-b3fc-2c963f66afa6")
    error = json.loads(put.stdout)
    assert error["code"] == 400
    assert "path" in error["message"]
    assert list(error["errors"]["json"]) == ["uri"]


def test_the_example_without_the_contradiction(olssont: Machine) -> None:
    put = put_dataset(olssont, GENOME)
    assert put.status == 0, put
    assert json.loads(put.stdout) == ""
    (found,) = olssont.answer(f'curl -H "$HEADER" http://localhost:5000/uuids/{GENOME}')
    assert found["frozen_at"] == 1537916653.7
    assert found["uploaded_by"] == "olssont"


def test_required_keys(machine: Machine) -> None:
    keys = machine.answer(
        "python -c 'import json; from dservercore.utils import DATASET_INFO_REQUIRED_KEYS as keys;"
        " print(json.dumps(list(keys)))'"
    )
    assert set(keys) == set(DATASET_INFO) - {"created_at", "number_of_items", "size_in_bytes"}


# -- Administrators


@pytest.fixture
def overlord(machine: Machine) -> Machine:
    machine.become("overlord")
    return machine


def test_list_users(overlord: Machine) -> None:
    listed = overlord.answer('curl -H "$HEADER" http://localhost:5000/users')
    admins = {user["username"]: user["is_admin"] for user in listed}
    assert {"olssont": False, "overlord": True}.items() <= admins.items()


def test_register_user(overlord: Machine) -> None:
    request = """curl -H "$HEADER" -H "Content-Type: application/json"  \\
        -X PUT -d '{"username": "joe", "is_admin": true}'  \\
        http://localhost:5000/users/joe"""
    assert overlord.answer(request) == ""
    assert overlord.answer('curl -H "$HEADER" http://localhost:5000/users/joe')["is_admin"] is True


def put_base_uri(machine: Machine, searchers: list[str], registrants: list[str]) -> Any:
    body = {
        "base_uri": "s3://another-bucket",
        "users_with_search_permissions": searchers,
        "users_with_register_permissions": registrants,
    }
    put = f"""curl -H "$HEADER" -H "Content-Type: application/json"  \\
        -X PUT -d '{json.dumps(body)}' http://localhost:5000/base-uris/s3/another-bucket"""
    assert machine.answer(put) == ""
    get = """curl -H "$HEADER" -H "Content-Type: application/json"  \\
        http://localhost:5000/base-uris/s3/another-bucket"""
    assert machine.answer(get) == body
    return body


def test_base_uris(overlord: Machine) -> None:
    overlord.succeed("flask user add jim")
    put_base_uri(overlord, ["jim"], ["olssont"])
    listed = overlord.answer('curl -H "$HEADER" http://localhost:5000/base-uris')
    assert {"base_uri": "s3://another-bucket"} in listed
    assert overlord.base_uri in [entry["base_uri"] for entry in listed]
    put_base_uri(overlord, ["jim", "olssont"], ["olssont"])
    put_base_uri(overlord, [], [])


def test_config_info(overlord: Machine) -> None:
    config = overlord.answer('curl -H "$HEADER" http://localhost:5000/config/info')["config"]
    assert config["secret_key"] == "***"
    assert all(key == key.lower() for key in config)


def test_versions_need_no_token(machine: Machine) -> None:
    assert machine.answer("curl http://localhost:5000/config/versions")["versions"]["dservercore"]
