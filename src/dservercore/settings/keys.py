"""The RSA key pair that signs and verifies tokens, and the secret key of the Flask application."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dservercore.errors import ConfigurationError
from dservercore.settings import database_address, key_text, named_files, private_files

PRIVATE_KEY_NAME = "jwt_key"
PUBLIC_KEY_NAME = "jwt_key.pub"
SECRET_KEY_NAME = "secret_key"
LEAST_SECRET_LENGTH = 16
KEY_SIZE = 3072  # bits; good until after 2030 (NIST SP 800-57)

# What stands in examples for a key of one's own.
_PLACEHOLDER = re.compile(
    r"change.?(me|this|it)|replace.?(me|this)|your.?secret|my.?secret|super.?secret|top.?secret|secret.?key|password"
    r"|insecure|example|default|you.?will.?never.?guess|hard.?to.?guess|^123456|^abcdef|^qwerty|placeholder|\bdev\b|testing",
    re.IGNORECASE,
)

# Files of secret keys, made by this process.
_made: set[Path] = set()


def public_key_pem(text: str, setting: str) -> str:
    """Return an RSA public key, given as PEM or OpenSSH text, as PEM.

    :raises ConfigurationError: if it is something else
    """
    text = key_text.normalised(text)
    load: Callable[..., Any] = serialization.load_pem_public_key
    if text.startswith("ssh-"):
        load = serialization.load_ssh_public_key
    key = _parse(load, text, setting, "public")
    if not isinstance(key, rsa.RSAPublicKey):
        raise ConfigurationError(f"{setting}: the key is not an RSA key, which RS256 tokens need")
    return _public_text(key)


def private_key_pem(text: str, setting: str) -> str:
    """Return an unencrypted RSA private key, given as PEM or in OpenSSH's own format, as PKCS #8 PEM.

    :raises ConfigurationError: if it is something else
    """
    return _private_text(_parse_private(text, setting))


def public_from_private(text: str, setting: str) -> str:
    """Return the public half, as PEM, of a private key.

    :raises ConfigurationError: if the text is no unencrypted RSA private key
    """
    return _public_text(_parse_private(text, setting).public_key())


def generate_key_pair(directory: Path) -> tuple[Path, Path]:
    """Write a new key pair into *directory* and return the paths of the private and the public key.

    The private key is readable by its owner alone.

    :raises FileExistsError: rather than replacing a key, which would make every token invalid
    """
    private_path, public_path = directory / PRIVATE_KEY_NAME, directory / PUBLIC_KEY_NAME
    for path in (private_path, public_path):
        if path.exists():
            raise FileExistsError(path)
    private_files.make_directory(directory)
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_SIZE)
    write_new_file(private_path, _private_text(key), mode=0o600)
    write_new_file(public_path, _public_text(key.public_key()), mode=0o644)
    return private_path, public_path


def write_new_file(path: Path, content: str, mode: int) -> None:
    """Write a file that must not exist yet, with its permissions right from the first moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as stream:
        private_files.give_to_owner_of(path.parent, descriptor)
        stream.write(content)


def secret_key(configured: str | None, directory: Path) -> str:
    """Return the configured secret key, or else the one that is kept in *directory*.

    :raises ConfigurationError: if the configured key can be guessed, or, without one, the kept key cannot be read
    """
    if not configured:
        return kept_secret_key(directory)
    if can_be_guessed(configured):
        raise ConfigurationError(
            f"SECRET_KEY: can be guessed; leave it out, or set {LEAST_SECRET_LENGTH} random characters or more"
            " (python3 -c 'import secrets; print(secrets.token_hex(32))')"
        )
    return configured


def metrics_token(token: str, setting: str) -> str:
    """Return the token of those who read the metrics, as it is.

    :param setting: name of the setting that it comes from, for the error
    :raises ConfigurationError: if it can be guessed, or no header can hold it
    """
    if not (token.isascii() and token.isprintable()) or " " in token or can_be_guessed(token):
        raise ConfigurationError(
            f"{setting}: can be guessed, or has other characters than a header may have;"
            f" set {LEAST_SECRET_LENGTH} random letters and digits or more"
            " (python3 -c 'import secrets; print(secrets.token_hex(32))')"
        )
    return token


def can_be_guessed(secret: str) -> bool:
    """Return whether a secret key is too short, too even, or one that stands in examples."""
    return bool(len(secret) < LEAST_SECRET_LENGTH or _PLACEHOLDER.search(secret) or len(set(secret)) < 6)


def is_fresh(path: Path) -> bool:
    """Return whether a file is a secret key that this process has made: nobody has used it yet."""
    return path in _made


def kept_secret_key(directory: Path) -> str:
    """Return the secret key kept in *directory*, making one the first time.

    Processes that start together get the same key, and a file that a crash has left empty is filled. Where the
    directory cannot be written to, the key is a fresh one for this process.

    :raises ConfigurationError: if the file is there and cannot be read
    """
    path = directory / SECRET_KEY_NAME
    if named_files.is_there(path, "SECRET_KEY") and (kept := named_files.text_of(path, "SECRET_KEY").strip()):
        return kept
    secret = secrets.token_hex(32)
    try:
        private_files.make_directory(directory)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "r+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if kept := stream.read().strip():  # another process was faster
                return kept
            private_files.give_to_owner_of(directory, descriptor)
            stream.write(secret)
            stream.flush()
            os.fsync(stream.fileno())
        _made.add(path)
    except OSError:
        pass  # a read-only home is no reason not to start
    return secret


def exposed_files(config: Mapping[str, Any]) -> list[Path]:
    """Return the files with secrets that a configuration names and every user of the machine can read."""
    places = [
        config.get(f"{name}_FILE")
        for name in ("JWT_PRIVATE_KEY", "DSERVER_LDAP_BIND_PASSWORD", "DSERVER_METRICS_TOKEN")
    ]
    if config.get("DSERVER_DATA_DIR"):
        places.append(Path(config["DSERVER_DATA_DIR"]) / SECRET_KEY_NAME)
    places.append(database_address.file_of(str(config.get("SQLALCHEMY_DATABASE_URI", ""))))
    places += [config[name] for name in config if name.endswith("_CLIENT_SECRET_FILE")]
    return [path for place in places if place and _can_be_read_by_all(path := Path(place).expanduser())]


def private_places(config: Mapping[str, Any]) -> list[Path]:
    """Return the paths of the data directory, the private key and the database of a configuration, there or not."""
    places = [config.get("DSERVER_DATA_DIR"), config.get("JWT_PRIVATE_KEY_FILE")]
    if database := database_address.file_of(str(config.get("SQLALCHEMY_DATABASE_URI", ""))):
        places += [f"{database}{ending}" for ending in ("", "-wal", "-shm", "-journal")]
    return [Path(place).expanduser() for place in places if place]


def _can_be_read_by_all(path: Path) -> bool:
    try:
        modes = [path.stat().st_mode & stat.S_IROTH]
        modes += [parent.stat().st_mode & stat.S_IXOTH for parent in path.absolute().parents]
    except OSError:
        return False
    return path.is_file() and all(modes)


def _parse(load: Callable[..., Any], text: str, setting: str, half: str, **options: Any) -> Any:
    try:
        return load(text.encode(), **options)
    except (ValueError, UnsupportedAlgorithm, UnicodeEncodeError):
        raise ConfigurationError(f"{setting}: not an RSA {half} key in PEM or OpenSSH format") from None
    except TypeError:
        raise ConfigurationError(
            f"{setting}: the private key is protected by a passphrase; remove it"
        ) from None


def _parse_private(text: str, setting: str) -> rsa.RSAPrivateKey:
    text = key_text.normalised(text)
    openssh = "BEGIN OPENSSH PRIVATE KEY" in text
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    # Whether its numbers are a key takes 50 ms to find out, and is asked by whatever signs with it.
    key = _parse(load, text, setting, "private", password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigurationError(f"{setting}: the key is not an RSA key, which RS256 tokens need")
    return key


def _public_text(key: rsa.RSAPublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def _private_text(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
