"""The settings of the extension ``notification``."""

from __future__ import annotations

from dservercore.settings.table import Setting

SETTINGS: list[Setting] = []
