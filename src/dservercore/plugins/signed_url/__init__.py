"""The bundled extension ``signed_url``: addresses by which datasets are read and uploaded for a limited time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from dservercore.plugin_api import ExtensionABC
from dservercore.plugins.signed_url import models as models
from dservercore.plugins.signed_url import routes_uploading as routes_uploading  # adds to the blueprint
from dservercore.plugins.signed_url.commands import pending_upload_cli
from dservercore.plugins.signed_url.routes_reading import blueprint
from dservercore.plugins.signed_url.settings import SETTINGS
from dservercore.rest.blueprint import Blueprint
from dservercore.settings.table import Setting


class SignedURL(ExtensionABC):
    """Hands out addresses by which datasets are read and uploaded for a limited time."""

    version_key = "dserver_signed_url_plugin"

    def get_settings(self) -> Sequence[Setting]:
        """Return the settings of the extension."""
        return SETTINGS

    def get_blueprint(self) -> Blueprint:
        """Return the routes below ``/signed-urls``."""
        return blueprint

    def get_commands(self) -> Sequence[click.Command]:
        """Return ``flask pending_upload``."""
        return [pending_upload_cli]

    def get_migrations(self) -> Path:
        """Return where those of the uploads are that are pending."""
        return Path(__file__).parent / "migrations"
