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

from dservercore import private_files
from dservercore.errors import ConfigurationError

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


def read_key_file(path: str | Path, setting: str) -> str:
    """Return the text of a key file.

    :param setting: name of the setting that the path comes from, for the error
    :raises ConfigurationError: if it cannot be read
    """
    try:
        return Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ConfigurationError(f"{setting}: cannot read {path}: {reason}") from None


def public_key_pem(text: str, setting: str) -> str:
    """Return an RSA public key, given as PEM or OpenSSH text, as PEM.

    :raises ConfigurationError: if it is something else
    """
    load: Callable[..., Any] = serialization.load_pem_public_key
    if text.lstrip().startswith("ssh-"):
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
    """Return the public half, as PEM, of a private key."""
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
        stream.write(content)


def secret_key(configured: str | None, directory: Path) -> str:
    """Return the configured secret key, or else the one that is kept in *directory*.

    :raises ConfigurationError: if it can be guessed. None has to be configured: the one that is made here is better
    """
    if not configured:
        return kept_secret_key(directory)
    if can_be_guessed(configured):
        raise ConfigurationError(
            f"SECRET_KEY: can be guessed; leave it out, or set {LEAST_SECRET_LENGTH} random characters or more"
            " (python3 -c 'import secrets; print(secrets.token_hex(32))')"
        )
    return configured


def can_be_guessed(secret: str) -> bool:
    """Return whether a secret key is too short, too even, or one that stands in examples."""
    return bool(len(secret) < LEAST_SECRET_LENGTH or _PLACEHOLDER.search(secret) or len(set(secret)) < 6)


def is_fresh(path: Path) -> bool:
    """Return whether a file is a secret key that this process has made: nobody has used it yet."""
    return path in _made


def kept_secret_key(directory: Path) -> str:
    """Return the secret key kept in *directory*, making one the first time.

    Processes that start together get the same one, and a file that a crash has left empty is filled. Where the
    directory cannot be written to, the key is a fresh one for this process.
    """
    path = directory / SECRET_KEY_NAME
    if kept := _text_of(path):
        return kept
    secret = secrets.token_hex(32)
    try:
        private_files.make_directory(directory)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "r+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if kept := stream.read().strip():  # another process was faster
                return kept
            stream.write(secret)
            stream.flush()
            os.fsync(stream.fileno())
        _made.add(path)
    except OSError:
        pass  # a read-only home is no reason not to start
    return secret


def exposed_files(config: Mapping[str, Any]) -> list[Path]:
    """Return those files with secrets, of a configuration, that every user of the machine can read."""
    places = [config.get("JWT_PRIVATE_KEY_FILE")]
    if config.get("DSERVER_DATA_DIR"):
        places.append(Path(config["DSERVER_DATA_DIR"]) / SECRET_KEY_NAME)
    address = str(config.get("SQLALCHEMY_DATABASE_URI", ""))
    if address.startswith("sqlite:///") and not address.startswith("sqlite:///file:"):
        places.append(address.removeprefix("sqlite:///").partition("?")[0])
    return [path for place in places if place and _can_be_read_by_all(path := Path(place).expanduser())]


def private_places(config: Mapping[str, Any]) -> list[Path]:
    """Return the files and folders of a configuration that hold keys, settings or the database, there or not."""
    places = [config.get("DSERVER_DATA_DIR"), config.get("JWT_PRIVATE_KEY_FILE")]
    address = str(config.get("SQLALCHEMY_DATABASE_URI", ""))
    if address.startswith("sqlite:///") and not address.startswith("sqlite:///file:"):
        database = address.removeprefix("sqlite:///").partition("?")[0]
        places += [f"{database}{ending}" for ending in ("", "-wal", "-shm", "-journal")]
    return [Path(place).expanduser() for place in places if place]


def _can_be_read_by_all(path: Path) -> bool:
    try:
        modes = [path.stat().st_mode & stat.S_IROTH]
        modes += [parent.stat().st_mode & stat.S_IXOTH for parent in path.absolute().parents]
    except OSError:
        return False
    return path.is_file() and all(modes)


def _text_of(path: Path) -> str:
    """Return what the file says; "" if it is not there, or not ours to read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _parse(load: Callable[..., Any], text: str, setting: str, half: str, **options: Any) -> Any:
    try:
        return load(text.strip().encode(), **options)
    except (ValueError, UnsupportedAlgorithm, UnicodeEncodeError):
        raise ConfigurationError(f"{setting}: not an RSA {half} key in PEM or OpenSSH format") from None
    except TypeError:
        raise ConfigurationError(
            f"{setting}: the private key is protected by a passphrase; remove it"
        ) from None


def _parse_private(text: str, setting: str) -> rsa.RSAPrivateKey:
    openssh = "BEGIN OPENSSH PRIVATE KEY" in text
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    key = _parse(load, text, setting, "private", password=None)
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
