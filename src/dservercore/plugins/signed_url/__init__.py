"""The bundled extension ``signed_url``: addresses by which datasets are read and uploaded for a limited time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import flask
from flask import url_for

from dservercore.plugin_api import Downloads, ExtensionABC
from dservercore.plugins.signed_url import models as models
from dservercore.plugins.signed_url.commands import pending_upload_cli
from dservercore.plugins.signed_url.settings import SETTINGS
from dservercore.settings.table import Setting

if TYPE_CHECKING:
    from dservercore.rest.blueprint import Blueprint


class SignedURL(ExtensionABC):
    """Hands out addresses by which datasets are read and uploaded for a limited time."""

    version_key = "dserver_signed_url_plugin"

    def get_settings(self) -> Sequence[Setting]:
        """Return the settings of the extension."""
        return SETTINGS

    def get_blueprint(self) -> Blueprint:
        """Return the routes below ``/signed-urls``."""
        for name in ("routes_reading", "routes_uploading"):
            _module(name)  # adds to it
        return cast("Blueprint", _module("routes").blueprint)

    def get_commands(self) -> Sequence[click.Command]:
        """Return ``flask pending_upload``."""
        return [pending_upload_cli]

    def get_migrations(self) -> Path:
        """Return where those of the uploads are that are pending."""
        return Path(__file__).parent / "migrations"

    def get_pages(self) -> Sequence[flask.Blueprint]:
        """Return what leads from the page of a dataset to its files."""
        return [_module("pages").pages]

    def downloads(self, dataset: Mapping[str, Any]) -> Downloads | None:
        """Return where the files of a dataset can be downloaded; None where no URLs can be signed for its storage."""
        uri = dataset["uri"]
        if not _module("storages").is_signable(dataset["base_uri"]):
            return None
        return Downloads(
            item=lambda identifier: url_for("signed_url_pages.item", identifier=identifier, uri=uri),
            everything=url_for("signed_url_pages.archive", uri=uri),
        )


def _module(name: str) -> Any:
    """Return what requests and jobs need: a short command does without it, and starts sooner."""
    return import_module(f"{__name__}.{name}")
