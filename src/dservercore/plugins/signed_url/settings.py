"""The settings of the extension ``signed_url``."""

from __future__ import annotations

from dservercore.settings.table import Setting

SETTINGS: list[Setting] = []
