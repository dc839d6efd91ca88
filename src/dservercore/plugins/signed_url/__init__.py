"""The bundled extension ``signed_url``: addresses by which datasets are read and uploaded for a limited time."""

from __future__ import annotations

from collections.abc import Sequence

from dservercore.plugin_api import ExtensionABC
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
