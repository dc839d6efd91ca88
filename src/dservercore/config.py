"""The configuration, for plugin authors.

``Config`` is a class with the settings as attributes, as the environment has them when it is imported.
"""

from typing import Any

from dservercore.settings.configuration import read_environment
from dservercore.settings.table import CONFIG_EXCLUSIONS

__all__ = ["CONFIG_EXCLUSIONS", "Config"]  # noqa: F822 made when it is asked for


def __getattr__(name: str) -> Any:
    if name == "Config":
        return type("Config", (), read_environment())
    raise AttributeError(name)
