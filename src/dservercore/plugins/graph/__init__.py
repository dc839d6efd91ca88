"""The bundled extension ``graph``: which datasets were made from which others."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import flask

from dservercore.catalog.scope import Scope
from dservercore.errors import UnavailableError
from dservercore.plugin_api import Dependents, ExtensionABC, JobHandler, PageSection
from dservercore.plugins.graph import edges, rebuilding, service
from dservercore.plugins.graph.commands import graph_cli
from dservercore.plugins.graph.drawing import name_of
from dservercore.plugins.graph.graph import Node
from dservercore.plugins.graph.settings import SETTINGS
from dservercore.settings.table import Setting
from dservercore.web.texts import gettext

if TYPE_CHECKING:
    from dservercore.rest.blueprint import Blueprint


class Graph(ExtensionABC):
    """Keeps the edges between datasets, and answers what is connected with a dataset."""

    version_key = "dserver_dependency_graph_plugin"
    repeatable = True

    def get_settings(self) -> Sequence[Setting]:
        """Return the settings of the extension."""
        return SETTINGS

    def get_blueprint(self) -> Blueprint:
        """Return the routes below ``/graph``."""
        return cast("Blueprint", _module("routes_formats").blueprint)

    def get_migrations(self) -> Path:
        """Return the directory with the migrations of the tables of edges."""
        return Path(__file__).parent / "migrations"

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        """Keep the edges of a dataset that was registered or edited."""
        edges.write([dataset_info])

    def register_datasets(self, dataset_infos: Sequence[dict[str, Any]]) -> None:
        """Keep the edges of datasets that were registered together."""
        edges.write(dataset_infos)

    def delete_dataset(self, uri: str) -> None:
        """Do nothing: its edges go with the row of the dataset."""

    def holds(self, dataset_info: dict[str, Any]) -> bool:
        """Return whether the edges of a dataset are those of its document."""
        return edges.are_those_of(dataset_info)

    def get_pages(self) -> Sequence[flask.Blueprint]:
        """Return the page with the graph of a dataset."""
        return [_module("pages").pages]

    def get_static_files(self) -> Path:
        """Return the directory with the style and the script of drawings."""
        return Path(__file__).parent / "static"

    def dataset_sections(
        self, dataset: Mapping[str, Any], base_uris: Mapping[str, int]
    ) -> Sequence[PageSection]:
        """Return the section with the drawing of what is near to a dataset."""
        return cast(Sequence[PageSection], _module("pages").section(dataset, base_uris))

    def dependents(self, dataset: Mapping[str, Any], base_uris: Mapping[str, int]) -> Sequence[Dependents]:
        """Return the datasets that were made from one, by any number of steps; none where that takes too long."""
        try:
            graph = service.dependents(Scope("search", base_uris), dataset["uuid"])
        except UnavailableError as error:  # it can be deleted all the same
            logging.getLogger(__name__).warning("What depends on %s is not known: %s", dataset["uri"], error)
            return []
        nodes = sorted(graph.nodes.values(), key=Node.nearest)
        made = [
            {"uri": node.copies[0]["uri"], "name": name_of(node)}
            for node in nodes
            if node.uuid != graph.centre and node.copies
        ]
        why = gettext("were made from it")
        return [Dependents(why, made, None if graph.is_bounded else len(made))]

    def get_commands(self) -> Sequence[click.Command]:
        """Return ``flask graph``."""
        return [graph_cli]

    def get_job_handlers(self) -> Mapping[str, JobHandler]:
        """Return what derives edges that are missing."""
        return {rebuilding.JOB: rebuilding.rebuild_batch}

    def before_serving(self) -> None:
        """Have edges derived that are missing."""
        rebuilding.begin_if_needed()


def _module(name: str) -> Any:
    """Return what requests are answered with: a short command does without it, and starts sooner."""
    return import_module(f"{__name__}.{name}")
