"""The page of a dataset, that of all its copies, and that where its registration is deleted."""

from __future__ import annotations

from flask import Blueprint

from dservercore.web.dataset_pages import deletion, downloads, views


def add_to(pages: Blueprint) -> None:
    """Serve the pages, and what can be downloaded from them.

    What is done with a dataset stands in front of its URI, in which anything may stand.
    """
    pages.add_url_rule("/datasets/<uri:uri>", "dataset", views.show)
    pages.add_url_rule("/uuid/<uuid>", "copies", views.show_copies)
    pages.add_url_rule("/dataset-readme/<uri:uri>", "dataset_readme", downloads.readme)
    pages.add_url_rule("/dataset-manifest/<uri:uri>", "dataset_manifest", downloads.manifest)
    pages.add_url_rule("/dataset-export/<name>/<uri:uri>", "dataset_export", downloads.export)
    pages.add_url_rule("/delete/<uri:uri>", "confirm_deletion", deletion.show)
    pages.add_url_rule("/delete/<uri:uri>", "delete_dataset", deletion.delete, methods=["POST"])
