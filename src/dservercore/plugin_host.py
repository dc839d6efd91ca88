"""Discovers, chooses and holds the plugins of an application."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, EntryPoints, PackageNotFoundError, version
from importlib.metadata import entry_points as read_entry_points
from typing import Any

from flask import Flask, current_app

from dservercore.compat import mongo_collection, namesakes
from dservercore.compat.completion import completed
from dservercore.errors import ConfigurationError
from dservercore.plugin_api import ExtensionABC, PluginABC, RetrieveABC, SearchABC
from dservercore.settings.configuration import read_settings

DISTRIBUTION = "dservercore"
SEARCH_GROUP = "dservercore.search"
RETRIEVE_GROUP = "dservercore.retrieve"
EXTENSION_GROUP = "dservercore.extension"
DEFAULT_PLUGIN = "sql"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PluginSet:
    """The plugins of one application, each with every method that the server calls (see ``compat.completion``)."""

    search: SearchABC
    retrieve: RetrieveABC
    extensions: tuple[ExtensionABC, ...]

    def __post_init__(self) -> None:
        completed(self.search, SearchABC)
        completed(self.retrieve, RetrieveABC)
        for extension in self.extensions:
            completed(extension, ExtensionABC)

    def __iter__(self) -> Iterator[PluginABC]:
        yield self.search
        yield self.retrieve
        yield from self.extensions

    @cached_property
    def share_sql_session(self) -> bool:
        """Whether search and retrieve stores change in the same transaction as the SQL rows."""
        return self.search.shares_sql_session and self.retrieve.shares_sql_session


# Discovery


def entry_points(group: str) -> EntryPoints:
    """Return the entry points of a group, of all packages that are installed."""
    return _entry_points(tuple(sys.path), group)


# Looking through all packages takes 15 ms, and a short command asks nine times.
@cache
def _entry_points(_path: tuple[str, ...], group: str) -> EntryPoints:
    return read_entry_points(group=group)


def search_entrypoints_iterator() -> Iterable[EntryPoint]:
    """Yield the entry points of the installed search plugins, the bundled ones included."""
    yield from entry_points(group=SEARCH_GROUP)


def retrieve_entrypoints_iterator() -> Iterable[EntryPoint]:
    """Yield the entry points of the installed retrieve plugins, the bundled ones included."""
    yield from entry_points(group=RETRIEVE_GROUP)


def extension_entrypoints_iterator() -> Iterable[EntryPoint]:
    """Yield the entry points of the installed extensions, the bundled ones included."""
    yield from entry_points(group=EXTENSION_GROUP)


def load_plugins(app: Flask, take_settings: bool) -> PluginSet:
    """Create the plugins that the configuration of *app* asks for, not yet initialised.

    :param take_settings: read the plugins' settings from the environment, and add what their ``get_config`` returns;
        False: only add the defaults of settings that the configuration lacks
    :raises ConfigurationError: if the choice is not clear or a plugin cannot be created
    """
    chosen_search = _choose(search_entrypoints_iterator(), "search", "DSERVER_SEARCH_PLUGIN", app.config)
    search = _create(chosen_search, SearchABC)
    retrieve = _create(_choose_retrieve(app.config), RetrieveABC)
    _add_settings(app, (search, retrieve), take_settings)
    chosen = _choose_extensions(extension_entrypoints_iterator(), app.config.get("DSERVER_EXTENSIONS") or [])
    if not chosen:
        return PluginSet(search, retrieve, ())
    with mongo_collection.kept_apart(app.config):
        extensions = tuple(_create(entry_point, ExtensionABC) for entry_point in chosen)
        _require_no_namesakes(chosen, extensions)
        _add_settings(app, extensions, take_settings)
    return PluginSet(search, retrieve, extensions)


def _is_bundled(entry_point: EntryPoint) -> bool:
    return entry_point.dist is not None and entry_point.dist.name == DISTRIBUTION


def _choose_retrieve(config: Mapping[str, Any]) -> EntryPoint:
    return _choose(retrieve_entrypoints_iterator(), "retrieve", "DSERVER_RETRIEVE_PLUGIN", config)


def make_retrieve_plugin(app: Flask, name: str | None = None) -> RetrieveABC:
    """Return a retrieve plugin beside the one in use, started with its settings, which only reads what is stored.

    :param name: name of its entry point; None: a second instance of the plugin in use
    :raises ConfigurationError: if no plugin has that name, or it cannot start
    """
    if name is None:
        plugin: RetrieveABC = _create(_choose_retrieve(app.config), RetrieveABC)
        _start(app, plugin)
        plugin.only_read()
        return plugin
    installed = {entry_point.name for entry_point in retrieve_entrypoints_iterator()}
    if name not in installed:
        raise ConfigurationError(
            f"No retrieve plugin is called {name!r}; installed: {', '.join(sorted(installed))}"
        )
    plugin = _create(_choose_retrieve({"DSERVER_RETRIEVE_PLUGIN": name}), RetrieveABC)
    _add_settings(app, [plugin], take_settings=True)
    _start(app, plugin)
    plugin.only_read()
    return plugin


def _choose(
    installed: Iterable[EntryPoint], kind: str, setting: str, config: Mapping[str, Any]
) -> EntryPoint:
    """Return the plugin named by *setting*; else the only one of a third party; else ours on SQL.

    :raises ConfigurationError: if none has that name, or none is named and several are of third parties
    """
    by_name = {entry_point.name: entry_point for entry_point in installed}
    wanted = config.get(setting)
    if not wanted:
        others = sorted(name for name, entry_point in by_name.items() if not _is_bundled(entry_point))
        if len(others) > 1:
            raise ConfigurationError(
                f"Too many {kind} plugins; there can be only one: set {setting} to one of {', '.join(others)}"
            )
        wanted = others[0] if others else DEFAULT_PLUGIN
    if wanted not in by_name:
        installed_names = ", ".join(sorted(by_name)) or "none"
        raise ConfigurationError(
            f"{setting}: no {kind} plugin named {wanted!r}; installed: {installed_names}"
        )
    return by_name[wanted]


def _choose_extensions(installed: Iterable[EntryPoint], named: Iterable[str]) -> list[EntryPoint]:
    """Return every third-party extension, and the bundled ones that are named.

    :raises ConfigurationError: if no extension has a name, or a bundled and a published one do the same
    """
    entry_points_ = list(installed)
    unknown = set(named) - {entry_point.name for entry_point in entry_points_}
    if unknown:
        there_are = ", ".join(sorted(e.name for e in entry_points_ if _is_bundled(e)))
        raise ConfigurationError(
            f"DSERVER_EXTENSIONS: no extension named {', '.join(sorted(unknown))}; there are {there_are}"
        )
    bundled = [e for e in entry_points_ if _is_bundled(e) and e.name in named]
    others = [e for e in entry_points_ if not _is_bundled(e)]
    namesakes.require_one_of_each([e.name for e in bundled], [e.dist.name for e in others if e.dist])
    return others + bundled


def _create(entry_point: EntryPoint, base: Any) -> Any:
    try:
        return completed(entry_point.load()(), base)
    except ConfigurationError:
        raise
    except Exception as error:
        logger.debug("Plugin %s", entry_point.name, exc_info=True)
        raise ConfigurationError(
            f"The plugin {entry_point.name} ({entry_point.value}) cannot be loaded: {error}"
        ) from error


def _require_no_namesakes(chosen: Sequence[EntryPoint], extensions: Sequence[ExtensionABC]) -> None:
    """Pass if no bundled extension is in use together with the published one whose place it takes.

    :raises ConfigurationError: if both are in use
    """
    bundled = {
        name_of(extension): entry_point.name
        for entry_point, extension in zip(chosen, extensions, strict=True)
        if _is_bundled(entry_point)
    }
    for entry_point, extension in zip(chosen, extensions, strict=True):
        own_name = bundled.get(name_of(extension))
        if own_name and not _is_bundled(entry_point):
            package = entry_point.dist.name if entry_point.dist else name_of(extension)
            raise ConfigurationError(
                f"The extension {own_name} that comes with the server does what the package {package} does:"
                f" take {own_name} out of DSERVER_EXTENSIONS, or uninstall {package}"
            )


def _add_settings(app: Flask, plugins: Iterable[PluginABC], take_settings: bool) -> None:
    """Add the settings of plugins to those of *app*.

    :param take_settings: read them from the environment, and add what the plugins' ``get_config`` returns; False: only
        add the defaults of settings that the configuration lacks
    """
    for plugin in plugins:
        environ = os.environ if take_settings else None
        app.config.from_mapping(read_settings(plugin.get_settings(), app.config, environ))
        if not take_settings:
            continue
        settings = plugin.get_config()
        if isinstance(settings, Mapping):
            app.config.from_mapping(settings)
        else:
            app.config.from_object(settings)
        app.config["CONFIG_SECRETS_TO_OBFUSCATE"] += plugin.get_config_secrets_to_obfuscate() or []


def init_plugins(app: Flask, plugins: PluginSet) -> None:
    """Give each plugin its application, once, and the application its plugins.

    :raises ConfigurationError: in one line, if a plugin cannot start
    """
    app.search = plugins.search  # type: ignore[attr-defined]
    app.retrieve = plugins.retrieve  # type: ignore[attr-defined]
    app.custom_extensions = list(plugins.extensions)  # type: ignore[attr-defined]
    app.plugins = list(plugins)  # type: ignore[attr-defined]
    app.extensions[DISTRIBUTION] = plugins
    for plugin in plugins:
        _start(app, plugin)


def _start(app: Flask, plugin: PluginABC) -> None:
    try:
        plugin.init_app(app)
    except ConfigurationError:
        raise
    except Exception as error:
        logger.debug("Plugin %s", type(plugin).__name__, exc_info=True)
        raise ConfigurationError(f"The plugin {type(plugin).__name__} cannot start: {error}") from error


def plugins() -> PluginSet:
    """Return the plugins of the current application."""
    return current_app.extensions[DISTRIBUTION]


def has_foreign_plugins() -> bool:
    """Return whether plugins of other packages are installed, which may have settings of their own."""
    groups = (SEARCH_GROUP, RETRIEVE_GROUP, EXTENSION_GROUP)
    return any(not _is_bundled(point) for group in groups for point in entry_points(group=group))


def is_at_home() -> bool:
    """Return whether the current application is a server, and not another one that uses its tables."""
    return DISTRIBUTION in current_app.extensions


def versions() -> dict[str, str | None]:
    """Return ``{component: version}`` for the server and every plugin in use, for ``/config/versions``."""
    found: dict[str, str | None] = {DISTRIBUTION: _version_of(DISTRIBUTION)}
    for plugin in plugins():
        found[name_of(plugin)] = _version_of(_module_of(plugin))
    return found


def name_of(plugin: PluginABC) -> str:
    """Return the key under which ``/config/versions`` reports a plugin."""
    return plugin.version_key or _module_of(plugin)


def _module_of(plugin: PluginABC) -> str:
    return type(plugin).__module__.split(".")[0]


def _version_of(module: str) -> str | None:
    try:
        return version(module)
    except PackageNotFoundError:
        return None
