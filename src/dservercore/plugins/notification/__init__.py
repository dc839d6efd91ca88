"""The bundled extension ``notification``: registers and removes datasets when their storage tells of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from dservercore.plugin_api import Attention, ExtensionABC, JobHandler
from dservercore.plugins.notification import inbox
from dservercore.plugins.notification.commands import notification_cli
from dservercore.plugins.notification.settings import SECRET, SETTINGS, secret_from_file
from dservercore.settings.table import Setting
from dservercore.web.texts import ngettext

if TYPE_CHECKING:
    from dservercore.rest.blueprint import Blueprint


class Notification(ExtensionABC):
    """Registers and removes datasets when their storage tells of them."""

    version_key = "dserver_notification_plugin"
    repeatable = True

    def get_settings(self) -> Sequence[Setting]:
        """Return the settings of the extension."""
        return SETTINGS

    def get_config(self) -> Mapping[str, str]:
        """Return the secret, if it is in a file."""
        return secret_from_file(os.environ)

    def get_config_secrets_to_obfuscate(self) -> list[str]:
        """Return the setting that nobody may see."""
        return [SECRET]

    def get_blueprint(self) -> Blueprint:
        """Return the routes below ``/webhook``."""
        return cast("Blueprint", _module("routes").blueprint)

    def get_commands(self) -> Sequence[click.Command]:
        """Return ``flask notification``."""
        return [notification_cli]

    def get_migrations(self) -> Path:
        """Return the migrations of the tables."""
        return Path(__file__).parent / "migrations"

    def get_job_handlers(self) -> Mapping[str, JobHandler]:
        """Return what is done after a notification was answered."""
        return {
            inbox.LOOK: lambda payload: _module("looking").look(payload),
            inbox.CONFIRM: lambda payload: _module("looking").confirm(payload),
        }

    def attention(self) -> Sequence[Attention]:
        """Return that registrations are held, if some are. Jobs that have failed are on the page already."""
        number = inbox.number_held()
        if not number:
            return ()
        what = ngettext(
            "%(num)s dataset is gone from its bucket after many others, and is still registered:",
            "%(num)s datasets are gone from their buckets after many others, and are still registered:",
            number,
        )
        return [Attention(what % {"num": number}, "flask notification status")]


def _module(name: str) -> Any:
    """Return what requests and jobs need: a short command does without it, and starts sooner."""
    return import_module(f"{__name__}.{name}")
