"""The directive ``settings-reference``: every setting that the server reads, from the list that it reads them by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from generated import GeneratedDirective, bundled_extensions, table, title
from sphinx.application import Sphinx

from dservercore.settings.oidc_providers import OF_EACH_PROVIDER, variable
from dservercore.settings.table import DERIVED_SETTINGS, FIXED, SETTINGS, Setting


class SettingsReference(GeneratedDirective):
    """Describes the environment variables."""

    def lines(self) -> Iterator[str]:
        for setting in sorted([*SETTINGS, *DERIVED_SETTINGS], key=lambda setting: setting.name):
            yield from _described(setting)


class ExtensionSettings(GeneratedDirective):
    """Describes the settings of each bundled extension."""

    def lines(self) -> Iterator[str]:
        for name, extension in bundled_extensions().items():
            if extension.get_settings():
                yield from title(f"``{name}``", "~")
            for setting in sorted(extension.get_settings(), key=lambda setting: setting.name):
                yield from _described(setting)


class ProviderSettings(GeneratedDirective):
    """Describes the settings that each provider of OpenID Connect has."""

    def lines(self) -> Iterator[str]:
        for setting in OF_EACH_PROVIDER:
            yield f"``{variable('<name>', setting.name)}``"
            yield f"   {setting.help}"
            yield ""
            yield f"   Default: {_default(setting)}"
            yield ""


class FixedSettings(GeneratedDirective):
    """Lists the settings that are what they are."""

    def lines(self) -> Iterator[str]:
        rows = [(f"``{name}``", f"``{value}``") for name, value in FIXED.items()]
        yield from table(("Setting", "Value"), rows, (60, 40))


def _described(setting: Setting) -> Iterator[str]:
    yield f".. envvar:: {setting.name}"
    yield ""
    yield f"   {setting.help}"
    yield ""
    yield f"   Default: {_default(setting)}"
    yield ""


def _default(setting: Setting) -> str:
    if setting.default in ("", None) or setting.default == []:
        return "empty."
    # Settings that are derived have a word on where their default comes from, which is not code.
    return f"{setting.default}." if setting in DERIVED_SETTINGS else f"``{setting.default}``"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    app.add_directive("settings-reference", SettingsReference)
    app.add_directive("extension-settings", ExtensionSettings)
    app.add_directive("provider-settings", ProviderSettings)
    app.add_directive("fixed-settings", FixedSettings)
    return {"parallel_read_safe": True}
