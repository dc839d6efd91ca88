"""``/config``: how the server is configured, what it is made of, and how it is."""

from __future__ import annotations

from flask import Response, current_app
from flask.views import MethodView

from dservercore import plugin_host
from dservercore.auth import guards
from dservercore.catalog import readiness
from dservercore.catalog.scope import Actor
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.responses import also_answers, answers, json_answer
from dservercore.rest.schemas import ConfigSchema, HealthSchema, ReadySchema, VersionSchema
from dservercore.settings import configuration

blp = Blueprint("config", __name__, url_prefix="/config", description="The server")


@blp.route("/info")
class Info(MethodView):
    """The configuration."""

    @guards.signed_in
    @answers(blp, 200, ConfigSchema, errors=(401, 422))
    def get(self, actor: Actor) -> Response:
        """Show the configuration, without its secrets."""
        shown = configuration.shown(current_app.config)
        return json_answer({"config": {key.lower(): value for key, value in shown.items()}})


@blp.route("/versions")
class Versions(MethodView):
    """The versions."""

    @guards.open_to_all
    @answers(blp, 200, VersionSchema, errors=(422,), public=True)
    def get(self) -> Response:
        """Show the versions of the server and of the plugins in use. No token needed."""
        return json_answer({"versions": plugin_host.versions()})


@blp.route("/health")
class Health(MethodView):
    """Whether the process is up."""

    @guards.open_to_all
    @answers(blp, 200, HealthSchema, errors=(422,), public=True)
    def get(self) -> Response:
        """Tell that the process is up. No token needed."""
        return json_answer({"status": "healthy"})


@blp.route("/ready")
class Ready(MethodView):
    """Whether everything that the server depends on can be reached."""

    @guards.open_to_all
    @also_answers(blp, 503, ReadySchema)
    @answers(blp, 200, ReadySchema, errors=(422,), public=True)
    def get(self) -> Response:
        """Tell whether the database and the plugins can serve: 200, or 503 with what is wrong. No token needed."""
        report = readiness.check()
        return json_answer(report, 200 if all(line == "ok" for line in report.values()) else 503)
