"""The secret key is made once, kept, and cannot be guessed; files with secrets are for their owner alone."""

from __future__ import annotations

import logging
import multiprocessing
import stat
import tempfile
from pathlib import Path

import pytest

from dservercore import create_app
from dservercore.app import warn_of_exposed_files
from dservercore.errors import ConfigurationError
from dservercore.settings.configuration import read_environment
from dservercore.settings.keys import exposed_files, generate_key_pair, kept_secret_key, secret_key


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestKept:
    def test_it_is_made_once_for_its_owner_alone(self, tmp_path):
        directory = tmp_path / "data"
        made = kept_secret_key(directory)
        assert len(bytes.fromhex(made)) == 32
        assert kept_secret_key(directory) == made == (directory / "secret_key").read_text()
        assert mode(directory / "secret_key") == 0o600
        assert mode(directory) == 0o700

    def test_two_servers_have_different_ones(self, tmp_path):
        assert kept_secret_key(tmp_path / "one") != kept_secret_key(tmp_path / "other")

    @pytest.mark.parametrize("left", [None, ""], ids=["nothing", "a file that a crash has left empty"])
    def test_processes_that_start_together_agree(self, tmp_path, left):
        if left is not None:
            (tmp_path / "secret_key").write_text(left)
        with multiprocessing.get_context("fork").Pool(8) as pool:
            keys = pool.map(kept_secret_key, [tmp_path] * 64, chunksize=1)
        assert set(keys) == {(tmp_path / "secret_key").read_text()}
        assert len(keys[0]) == 64

    def test_where_nothing_can_be_written_it_is_one_for_the_process(self, tmp_path):
        (tmp_path / "file").touch()
        place = tmp_path / "file" / "data"
        assert len(kept_secret_key(place)) == 64
        assert kept_secret_key(place) != kept_secret_key(place)

    def test_a_link_that_somebody_has_put_there_is_not_followed(self, tmp_path):
        (tmp_path / "secret_key").symlink_to(tmp_path / "elsewhere")
        assert len(kept_secret_key(tmp_path)) == 64
        assert not (tmp_path / "elsewhere").exists()


class TestConfigured:
    @pytest.mark.parametrize(
        "guessable",
        [
            "dev",
            "secret",
            "short",
            "fifteen-letters",
            "changeme-changeme-changeme",
            "change-this-in-production",
            "you-will-never-guess",
            "your_secret_key_goes_here",
            "super-secret-key-of-mine",
            "this is an insecure default",
            "1234567890123456789012",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "xyxyxyxyxyxyxyxyxyxyxyxy",
        ],
    )
    def test_one_that_can_be_guessed_stops_the_server(self, tmp_path, guessable):
        with pytest.raises(ConfigurationError, match="SECRET_KEY: can be guessed") as raised:
            read_environment({"DSERVER_DATA_DIR": str(tmp_path), "SECRET_KEY": guessable})
        assert repr(guessable) not in raised.value.message

    @pytest.mark.parametrize("key", ["7f3c9a1e5b8d2046", "Zx8_qLw-3RtYv9Kd0hGfBn", "0123456789abcdef" * 4])
    def test_another_is_taken(self, tmp_path, key):
        assert secret_key(key, tmp_path) == key
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_none_is_one_that_is_made(self, tmp_path, nothing):
        assert secret_key(nothing, tmp_path) == (tmp_path / "secret_key").read_text()

    def test_every_key_that_is_made_would_be_taken(self, tmp_path):
        for number in range(200):
            made = kept_secret_key(tmp_path / str(number))
            assert secret_key(made, tmp_path) == made


class TestFiles:
    @pytest.fixture
    def public(self):
        """A directory that every user of this machine can look into."""
        with tempfile.TemporaryDirectory(dir="/tmp") as directory:
            Path(directory).chmod(0o755)
            yield Path(directory)

    @pytest.fixture
    def configuration(self, public):
        private, _ = generate_key_pair(public)
        kept_secret_key(public)
        (public / "app.db").touch(mode=0o600)
        return {
            "JWT_PRIVATE_KEY_FILE": str(private),
            "DSERVER_DATA_DIR": str(public),
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{public / 'app.db'}",
        }

    def test_what_we_make_is_not_exposed(self, configuration):
        assert exposed_files(configuration) == []

    @pytest.mark.parametrize("name", ["jwt_key", "secret_key", "app.db"])
    def test_what_others_can_read_is(self, configuration, public, name):
        (public / name).chmod(0o644)
        assert exposed_files(configuration) == [public / name]
        (public / name).chmod(0o640)
        assert exposed_files(configuration) == []

    def test_the_file_with_the_password_of_the_directory_counts(self, public):
        file = public / "ldap-password"
        file.touch(mode=0o600)
        configuration = {"DSERVER_LDAP_BIND_PASSWORD_FILE": str(file)}
        assert exposed_files(configuration) == []
        file.chmod(0o644)
        assert exposed_files(configuration) == [file]

    def test_the_secret_of_a_client_that_others_can_read_is(self, configuration, public):
        secret = public / "client-secret"
        secret.touch(mode=0o600)
        configuration["DSERVER_OIDC_KEYCLOAK_CLIENT_SECRET_FILE"] = str(secret)
        assert exposed_files(configuration) == []
        secret.chmod(0o644)
        assert exposed_files(configuration) == [secret]

    def test_what_others_cannot_reach_is_not(self, configuration, public):
        (public / "app.db").chmod(0o644)
        public.chmod(0o700)
        assert exposed_files(configuration) == []

    def test_it_is_logged_with_what_to_do(self, configuration, public, config, caplog):
        (public / "jwt_key").chmod(0o644)
        with caplog.at_level(logging.WARNING):
            warn_of_exposed_files(create_app({**config, **configuration}))
        assert f"chmod o-rwx {public / 'jwt_key'}" in caplog.text

    @pytest.mark.parametrize(
        "address", ["sqlite://", "sqlite:///:memory:", "postgresql://host/db", "sqlite:////none.db"]
    )
    def test_databases_that_are_no_file(self, address):
        assert exposed_files({"SQLALCHEMY_DATABASE_URI": address}) == []
