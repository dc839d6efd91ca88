"""``flask keys``"""

from __future__ import annotations

from pathlib import Path

import jwt
from flask import Flask

from .conftest import CommandLine, Installation


def test_a_generated_pair_signs_and_verifies(flask: CommandLine, tmp_path: Path) -> None:
    directory = tmp_path / "new" / "keys"
    said = flask.succeed("keys", "generate", "--directory", str(directory))
    private, public = directory / "jwt_key", directory / "jwt_key.pub"
    token = jwt.encode({"sub": "alice"}, private.read_text(), "RS256")
    assert jwt.decode(token, public.read_text(), ["RS256"]) == {"sub": "alice"}
    assert private.stat().st_mode & 0o777 == 0o600
    assert f"export JWT_PRIVATE_KEY_FILE={private}" in said
    assert private.read_text().splitlines()[1] not in said


def test_keys_are_never_replaced(flask: CommandLine, tmp_path: Path) -> None:
    flask.succeed("keys", "generate", "--directory", str(tmp_path))
    before = (tmp_path / "jwt_key").read_text()
    assert f"{tmp_path / 'jwt_key'} exists" in flask.fail("keys", "generate", "--directory", str(tmp_path))
    (tmp_path / "jwt_key.pub").unlink()
    flask.fail("keys", "generate", "--directory", str(tmp_path))
    assert (tmp_path / "jwt_key").read_text() == before


def test_a_directory_that_cannot_be_written_to_is_named(flask: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = flask.fail("keys", "generate", "--directory", str(tmp_path / "file" / "keys"))
    assert said == f"Cannot write keys: Not a directory: {tmp_path / 'file' / 'keys'}"


def test_the_public_key_is_printed_for_another_server(app: Flask, flask: CommandLine) -> None:
    assert flask.succeed("keys", "public").strip() == app.config["JWT_PUBLIC_KEY"].strip()
    app.config["JWT_PUBLIC_KEY"] = ""
    assert "flask keys generate" in flask.fail("keys", "public")


def test_another_server_takes_the_tokens_of_this_one(installation: Installation, tmp_path: Path) -> None:
    """The public key is all it needs; it cannot make tokens itself, and says so."""
    installation.succeed("init", "--admin", "alice")
    key = installation.succeed("keys", "public").strip()
    other = Installation(tmp_path)
    assert "a public key is configured" in other.succeed("init", "--admin", "alice", JWT_PUBLIC_KEY=key)
    assert other.succeed("keys", "public", JWT_PUBLIC_KEY=key).strip() == key
    assert "verifies tokens made elsewhere" in other.fail("user", "token", "alice", JWT_PUBLIC_KEY=key)


def test_keys_can_be_made_where_the_configured_ones_are_missing(
    installation: Installation, tmp_path: Path
) -> None:
    settings = {"JWT_PRIVATE_KEY_FILE": str(tmp_path / "keys" / "jwt_key")}
    assert "No such file or directory" in installation.fail("user", "list", **settings)
    installation.succeed("keys", "generate", "--directory", str(tmp_path / "keys"), **settings)
    installation.succeed("init", "--admin", "alice", **settings)
    assert installation.succeed("user", "token", "alice", **settings).startswith("ey")
    assert not (installation.data / "jwt_key").exists()


def test_keys_in_the_data_directory_are_used_unless_others_are_configured(
    installation: Installation, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "jwt_key"
    assert "not used as long as JWT_PRIVATE_KEY_FILE is set" in installation.succeed(
        "keys", "generate", JWT_PRIVATE_KEY_FILE=str(elsewhere)
    )
    assert (installation.data / "jwt_key").exists()
    assert "export" not in installation.succeed("keys", "generate", DSERVER_DATA_DIR=str(tmp_path))
