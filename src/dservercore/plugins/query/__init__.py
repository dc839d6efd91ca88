"""The bundled extension ``query``: answers queries in the language of MongoDB."""

from __future__ import annotations

from collections.abc import Sequence

from dservercore.plugin_api import ExtensionABC
from dservercore.plugins.query.routes import blueprint
from dservercore.plugins.query.settings import SETTINGS
from dservercore.rest.blueprint import Blueprint
from dservercore.settings.table import Setting


class Query(ExtensionABC):
    """Answers queries in the language of MongoDB."""

    version_key = "dserver_direct_mongo_plugin"

    def get_settings(self) -> Sequence[Setting]:
        """Return the settings of the extension."""
        return SETTINGS

    def get_blueprint(self) -> Blueprint:
        """Return the routes below ``/mongo``."""
        return blueprint
