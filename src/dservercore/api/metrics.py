"""``/metrics``: what happens in the server, in numbers, for who watches over it with Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Flask, Response

from dservercore.auth.scrapers import require_scraper
from dservercore.catalog import metric_figures, metrics

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def add_to(app: Flask) -> None:
    """Serve the metrics of an application that counts; where it does not, there is nothing at the address."""
    if metrics.EXTENSION in app.extensions:
        app.add_url_rule("/metrics", "metrics", show)


def show() -> Response:
    """Answer with the metrics, in the text format of Prometheus, to who may read them.

    :raises AuthorizationError: for anybody else
    """
    from prometheus_client import generate_latest

    require_scraper()
    counts = metrics.recorder()
    assert counts
    families = [*counts.collect(), *metric_figures.figures()]
    return Response(generate_latest(_Families(families)), content_type=MEDIA_TYPE)


@dataclass(frozen=True)
class _Families:
    families: list[Metric]

    def collect(self) -> list[Metric]:
        """Return what is to be shown."""
        return self.families
