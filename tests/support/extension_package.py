"""Packages of extensions that pip need not install: a folder for ``PYTHONPATH`` with modules and their entry points."""

from __future__ import annotations

from pathlib import Path

GROUPS = ("search", "retrieve", "extension")


def write_package(folder: Path, name: str, source: str, **classes: str) -> str:
    """Write a distribution of one module, whose classes are named by their entry-point group; return the folder."""
    information = folder / f"{name}-0.1.dist-info"
    information.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(source)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    groups = [f"[dservercore.{group}]\n{name} = {name}:{class_}\n" for group, class_ in classes.items()]
    (information / "entry_points.txt").write_text("\n".join(groups))
    return str(folder)
