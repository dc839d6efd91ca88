"""What happens, in numbers, for who watches over the server: requests, searches, sign-ins, refusals.

Nothing is counted unless somebody may read it. There are few kinds of what is counted, whatever is requested: no user,
no URI and no text that somebody has sent is ever among them.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flask import Flask, current_app, has_app_context

from dservercore.catalog.metric_slots import Slots
from dservercore.errors import ConfigurationError, OutOfTimeError
from dservercore.settings.configuration import data_directory

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram
    from prometheus_client.metrics_core import Metric

#: Upper bounds of the classes that the times of requests are counted in, in seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: What requests are counted under that are to no route, or are of too many kinds.
OTHER = "other"
#: Combinations of method, route and status that a process tells apart: the files have room for as many.
MAX_REQUESTS = 400

SearchOutcome = Literal["as_typed", "corrected", "relaxed", "empty", "timed_out"]
SEARCHES: tuple[SearchOutcome, ...] = ("as_typed", "corrected", "relaxed", "empty", "timed_out")
#: Ways to sign in, and what comes of it: ``limited`` is an attempt too many.
MEANS = ("password", "link", "ldap", "oidc")
SignIn = Literal["success", "refused", "limited", "failed"]
SIGN_INS: tuple[SignIn, ...] = ("success", "refused", "limited", "failed")
#: Why somebody was refused: for a token (the first seven), for a name or a token that does not count, for a permission.
REFUSALS = (
    "missing_token",
    "expired_token",
    "invalid_token",
    "revoked_token",
    "needs_fresh_token",
    "user_lookup_error",
    "token_verification_failed",
    "not_accepted",
    "forbidden",
)

#: Under which name an application has what counts for it.
EXTENSION = "dservercore-metrics"
_SECONDS_UNTIL_NEXT_TRY = 60.0

logger = logging.getLogger("dservercore")


@dataclass(frozen=True)
class _Families:
    requests: Histogram
    searches: Counter
    sign_ins: Counter
    refusals: Counter


class Recorder:
    """Counts what happens in this process, and adds up what the workers of its server have counted.

    :param directory: where the workers of servers keep what they count; None: this process is the whole server
    """

    def __init__(self, directory: Path | None) -> None:
        self._slots = Slots(directory) if directory else None
        self._lock = threading.Lock()
        self._families: _Families | None = None
        self._registry: Any = None
        self._requests: dict[tuple[str, str, str], Histogram] = {}
        self._next_try = 0.0

    def request(self, method: str, route: str | None, status: str, seconds: float) -> None:
        """Count a request.

        :param route: the rule of the route, and never the path; None: there is no route
        :param status: three digits
        :param seconds: until the answer began
        """
        counted = self._requests.get((method, route or OTHER, status)) or self._new_request(
            method, route or OTHER, status
        )
        if counted is not None:
            counted.observe(seconds)

    def _new_request(self, method: str, route: str, status: str) -> Histogram | None:
        families = self.families()
        if families is None:
            return None
        if method not in METHODS:
            method = OTHER
        key = method, route, status
        if key not in self._requests:
            if len(self._requests) >= MAX_REQUESTS:
                return families.requests.labels(OTHER, OTHER, OTHER)
            self._requests[key] = families.requests.labels(*key)
        return self._requests[key]

    def families(self) -> _Families | None:
        """Return what is counted; None, for a minute: it cannot be, because a file cannot be made."""
        if self._families is None and time.monotonic() >= self._next_try:
            with self._lock:
                if self._families is None:
                    try:
                        self._families = self._made()
                    except OSError as error:
                        self._next_try = time.monotonic() + _SECONDS_UNTIL_NEXT_TRY
                        logger.error("Metrics are not counted: %s", error)
        return self._families

    def _made(self) -> _Families:
        """Make what is counted, in the process that counts: not before a server has made its workers."""
        from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, values

        if self._slots:
            values.ValueClass = values.MultiProcessValue(self._slots.name)
        disable_created_metrics()
        self._registry = registry = CollectorRegistry()
        requests = Histogram(
            "dserver_request_seconds",
            "Seconds until the answer to a request began",
            ["method", "route", "status"],
            buckets=BUCKETS,
            registry=registry,
        )
        searches = Counter(
            "dserver_searches", "Searches by what came of them", ["outcome"], registry=registry
        )
        sign_ins = Counter("dserver_sign_ins", "Attempts to sign in", ["means", "outcome"], registry=registry)
        refusals = Counter("dserver_refusals", "Requests that were refused", ["reason"], registry=registry)
        # What has not happened yet is zero times, so that a rule about it has something to look at.
        for outcome in SEARCHES:
            searches.labels(outcome)
        for reason in REFUSALS:
            refusals.labels(reason)
        for means in MEANS:
            for came_of_it in SIGN_INS:
                sign_ins.labels(means, came_of_it)
        return _Families(requests, searches, sign_ins, refusals)

    def collect(self) -> list[Metric]:
        """Return what was counted, and what there is to say about the processes of the server."""
        counted: Iterable[Metric] = ()
        if self.families() is not None:
            counted = _sum_of(self._slots) if self._slots else self._registry.collect()
        workers = self._slots.workers() if self._slots else {"0": os.getpid()}
        return [_about_the_server(), *sorted(counted, key=lambda metric: metric.name), *_about(workers)]


def _sum_of(slots: Slots) -> Iterable[Metric]:
    from prometheus_client.multiprocess import MultiProcessCollector

    found: Iterable[Metric] = MultiProcessCollector(None, str(slots.files)).collect()
    return found


def _about_the_server() -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    info = GaugeMetricFamily("dserver_info", "Which server this is", labels=["version", "python"])
    info.add_metric([version("dservercore"), platform.python_version()], 1)
    return info


def _about(workers: Mapping[str, int]) -> list[Metric]:
    """Return processor time, memory and files of processes, by the names of their slots, where the system tells."""
    from prometheus_client import ProcessCollector
    from prometheus_client.metrics_core import Metric

    families: dict[str, Metric] = {}
    for name, process in sorted(workers.items()):
        for family in ProcessCollector(pid=partial(int, process), registry=None).collect():
            of_all = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                of_all.add_sample(sample.name, {"worker": name}, sample.value)
    return list(families.values())


# -- Who may read it, and who counts ---------------------------------------------------------------------------------


def init_metrics(app: Flask, has_workers: bool) -> Recorder | None:
    """Have *app* count what happens, if somebody may read it. Return what counts.

    :param has_workers: whether this process is, or will be, one of several that answer requests
    :raises ConfigurationError: if the library that counts is not installed
    """
    asked = [name for name in ("DSERVER_METRICS_NETWORKS", "DSERVER_METRICS_TOKEN") if app.config.get(name)]
    if not asked:
        return None
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            f"{asked[0]}: metrics need what the extra `metrics` brings: pip install prometheus-client"
        ) from None
    directory = Path(app.config.get("DSERVER_DATA_DIR") or data_directory()) / "metrics"
    counts = app.extensions[EXTENSION] = Recorder(directory if has_workers else None)
    return counts


def recorder() -> Recorder | None:
    """Return what counts for the application; None: nothing is counted."""
    return current_app.extensions.get(EXTENSION) if has_app_context() else None


def sign_in(means: str, outcome: SignIn) -> None:
    """Count an attempt to sign in.

    :param means: one of MEANS; what follows a colon, such as the name of a provider, is left out
    """
    families = _families()
    means = means.partition(":")[0]
    if families and means in MEANS and outcome in SIGN_INS:
        families.sign_ins.labels(means, outcome).inc()


def refusal(reason: str) -> None:
    """Count a request that was refused.

    :param reason: one of REFUSALS; any other is not counted
    """
    families = _families()
    if families and reason in REFUSALS:
        families.refusals.labels(reason).inc()


@dataclass
class Search:
    """A search that is being counted.

    :ivar number: datasets that match; None: the search has not said so
    :ivar done: what was done to the query, as the report of a search has it
    """

    number: int | None = None
    done: Mapping[str, Any] | None = None

    @property
    def outcome(self) -> SearchOutcome:
        """What came of it."""
        if not self.number:
            return "empty"
        if self.done and self.done.get("optional"):
            return "relaxed"
        return "corrected" if self.done and self.done.get("corrected") else "as_typed"


@contextmanager
def counted_search(query: Mapping[str, Any]) -> Iterator[Search]:
    """Count the search in this block, which says what it found; one that is refused is none.

    :param query: what is asked for; nothing: it is no search, and is not counted
    """
    search = Search()
    families = _families() if query else None
    try:
        yield search
    except OutOfTimeError:
        if families:
            families.searches.labels("timed_out").inc()
        raise
    if families:
        families.searches.labels(search.outcome).inc()


def _families() -> _Families | None:
    found = recorder()
    return found.families() if found else None
