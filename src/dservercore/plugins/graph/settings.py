"""The settings of the extension ``graph``."""

from __future__ import annotations

from dservercore.settings.table import Setting

SETTINGS: list[Setting] = []
