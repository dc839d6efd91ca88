"""The least that Flask can do: routes that return ready-made bytes, without token, checks or database.

``FLOOR_ANSWERS`` names a JSON file: a list of ``[method, route, body]``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from flask import Flask, Response

HEALTHY = "/healthy"


def create_app() -> Flask:
    """Return the application."""
    app = Flask(__name__)
    answers = json.loads(Path(os.environ["FLOOR_ANSWERS"]).read_text())
    for method, route, body in [*answers, ("GET", HEALTHY, "")]:
        _add(app, method, route, body.encode())
    return app


def _add(app: Flask, method: str, route: str, body: bytes) -> None:
    def answer(**_parameters: str) -> Response:
        return Response(body, mimetype="application/json")

    app.add_url_rule(route, f"{method} {route}", answer, methods=[method])
