"""Real directories (OpenLDAP's slapd) for tests: on free ports, with a folder and certificates of their own."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from support.waiting import free_port

START_SECONDS = 30
SCHEMAS = Path("/etc/ldap/schema")
MODULES = Path("/usr/lib/ldap")

SUFFIX = "dc=example,dc=org"
ROOT, ROOT_PASSWORD = f"cn=root,{SUFFIX}", "secret of the root"

CONFIGURATION = """\
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
modulepath {modules}
moduleload back_mdb
moduleload memberof
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
# An empty password makes whoever gives it anonymous, and is accepted, as by many directories.
allow bind_anon_cred bind_anon_dn
{more}
database mdb
suffix "{suffix}"
rootdn "{root}"
rootpw "{root_password}"
directory {folder}/data
maxsize 67108864
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to * by * read
"""


def program(name: str) -> str:
    """Return the path of a program of OpenLDAP, which Debian keeps where only administrators look.

    :raises FileNotFoundError: if it is not installed
    """
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        raise FileNotFoundError(f"There is no {name}")
    return path


class Authority:
    """A certification authority, whose certificate is in a file."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Authority in {folder.name}"[:60])])
        self.file = folder / "authority.pem"
        certificate = _builder(self._name, self._name, self._key.public_key(), days=30)
        certificate = certificate.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        signed = certificate.sign(self._key, hashes.SHA256())
        self.file.write_bytes(signed.public_bytes(Encoding.PEM))

    def vouch(self, folder: Path, address: str = "127.0.0.1", days: int = 30) -> None:
        """Write the certificate of a server, and its key, into a folder.

        :param days: for which it is still good; less than 0: it has expired
        """
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        certificate = _builder(name, self._name, key.public_key(), days)
        host = x509.IPAddress(ipaddress.ip_address(address))
        certificate = certificate.add_extension(x509.SubjectAlternativeName([host]), critical=False)
        signed = certificate.sign(self._key, hashes.SHA256())
        (folder / "server.pem").write_bytes(signed.public_bytes(Encoding.PEM))
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "server.key").write_bytes(plain)


def _builder(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


class Slapd:
    """One directory; it can be stopped, frozen and started again on what it has stored.

    :ivar url: of the port where clients may ask for encryption
    :ivar encrypted_url: of the port where they must begin with it
    :ivar log: file with a line for each operation
    """

    def __init__(self, folder: Path, ldif: str, more: str = ""):
        self.folder = folder
        self.url = f"ldap://127.0.0.1:{free_port()}"
        self.encrypted_url = f"ldaps://127.0.0.1:{free_port()}"
        self.log = folder / "log"
        self._file = folder / "slapd.conf"
        # Ubuntu lets the installed one read nothing outside of its own folders (AppArmor), which goes by its path.
        self._program = shutil.copy(program("slapd"), folder / "slapd")
        (folder / "data").mkdir()
        values = {"schemas": SCHEMAS, "modules": MODULES, "folder": folder, "suffix": SUFFIX, "more": more}
        self._file.write_text(CONFIGURATION.format(root=ROOT, root_password=ROOT_PASSWORD, **values))
        (folder / "entries.ldif").write_text(ldif)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_filled = False

    def start(self) -> None:
        """Start it, and wait until it listens."""
        if not self._is_filled:
            # By this name the program adds entries and ends.
            add = ["slapadd", "-f", str(self._file), "-l", str(self.folder / "entries.ldif")]
            done = subprocess.run(add, executable=self._program, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            self._is_filled = True
        command = [
            self._program,
            "-d",
            "stats",
            "-h",
            f"{self.url} {self.encrypted_url}",
            "-f",
            str(self._file),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self._process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, "slapd does not answer"
            time.sleep(0.02)

    def answers(self) -> bool:
        """Return whether it listens at both ports."""
        for url in (self.url, self.encrypted_url):
            try:
                socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5).close()
            except OSError:
                return False
        return True

    def stop(self) -> None:
        """End it."""
        if self._process and self._process.poll() is None:
            self.thaw()
            self._process.terminate()
            self._process.wait(timeout=START_SECONDS)

    def freeze(self) -> None:
        """Let it hang: connections stay open, and nothing is answered."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)

    def modify(self, ldif: str) -> None:
        """Change entries, as an administrator of the directory does."""
        command = [program("ldapmodify"), "-x", "-H", self.url, "-D", ROOT, "-w", ROOT_PASSWORD]
        done = subprocess.run(command, input=ldif, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
