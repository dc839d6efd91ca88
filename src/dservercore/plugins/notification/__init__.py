"""The bundled extension ``notification``: registers and removes datasets when their storage tells of them."""

from __future__ import annotations

from collections.abc import Sequence

from dservercore.plugin_api import ExtensionABC
from dservercore.plugins.notification.routes import blueprint
from dservercore.plugins.notification.settings import SETTINGS
from dservercore.rest.blueprint import Blueprint
from dservercore.settings.table import Setting


class Notification(ExtensionABC):
    """Registers and removes datasets when their storage tells of them."""

    version_key = "dserver_notification_plugin"

    def get_settings(self) -> Sequence[Setting]:
        """Return the settings of the extension."""
        return SETTINGS

    def get_blueprint(self) -> Blueprint:
        """Return the routes below ``/webhook``."""
        return blueprint
