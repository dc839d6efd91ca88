"""A key is read in the forms in which variables and files hand it over."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from dservercore.errors import ConfigurationError
from dservercore.settings.configuration import read_environment

FORMS = {
    "as it is": lambda pem: pem,
    "literal ends of lines": lambda pem: pem.replace("\n", "\\n"),
    "twice escaped": lambda pem: pem.replace("\n", "\\\\n"),
    "literal ends of lines of Windows": lambda pem: pem.replace("\n", "\\r\\n"),
    "in quotes": lambda pem: f'"{pem.strip()}"',
    "in quotes, with literal ends": lambda pem: "'" + pem.replace("\n", "\\n") + "'",
    "ends of lines of Windows": lambda pem: pem.replace("\n", "\r\n"),
    "spaces around it": lambda pem: f"\n  {pem}  \t\n",
    "spaces instead of lines": lambda pem: pem.replace("\n", " "),
    "indented, as in YAML": lambda pem: pem.replace("\n", "\n    "),
    "without any lines": lambda pem: pem.replace("\n", ""),
    "continued with backslashes": lambda pem: pem.strip().replace("\n", "\\\n"),
    "base64 of the text": lambda pem: base64.b64encode(pem.encode()).decode(),
    "what is between the lines": lambda pem: "".join(pem.splitlines()[1:-1]),
    "a byte order mark": lambda pem: f"\ufeff{pem}",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_public_key_in_the_variable(key_pair: tuple[Path, Path], tmp_path: Path, form: str) -> None:
    pem = key_pair[1].read_text()
    environ = {"DSERVER_DATA_DIR": str(tmp_path), "JWT_PUBLIC_KEY": FORMS[form](pem)}
    assert read_environment(environ)["JWT_PUBLIC_KEY"] == pem


@pytest.mark.parametrize("form", [form for form in FORMS if form != "what is between the lines"])
def test_key_files(key_pair: tuple[Path, Path], tmp_path: Path, form: str) -> None:
    private, public = (path.read_text() for path in key_pair)
    (tmp_path / "a").write_bytes(FORMS[form](private).encode())
    (tmp_path / "a.pub").write_bytes(FORMS[form](public).encode())
    environ = {
        "DSERVER_DATA_DIR": str(tmp_path),
        "JWT_PRIVATE_KEY_FILE": str(tmp_path / "a"),
        "JWT_PUBLIC_KEY_FILE": str(tmp_path / "a.pub"),
    }
    config = read_environment(environ)
    assert (config["JWT_PRIVATE_KEY"], config["JWT_PUBLIC_KEY"]) == (private, public)


@pytest.mark.parametrize("text", ["\\n", "-----BEGIN PUBLIC KEY-----", "MIIB", "AAAA" * 40, "\\", "'"])
def test_what_is_no_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^JWT_PUBLIC_KEY: not an RSA public key"):
        read_environment({"DSERVER_DATA_DIR": str(tmp_path), "JWT_PUBLIC_KEY": text})
