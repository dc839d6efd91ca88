"""Requests, as fast as they are answered, from ``wrk``; and servers measured in turns."""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.installations import Served
from benchmarks.processes import program
from benchmarks.questions import Request

#: Hands out the prepared requests in turn, and prints what came of them as JSON.
SCRIPT = """
local requests, next_one = {}, 0

function init(arguments)
   for line in io.lines(arguments[1]) do
      local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
      requests[#requests + 1] = wrk.format(method, path, nil, body ~= "" and body or nil)
   end
end

function request()
   next_one = next_one % #requests + 1
   return requests[next_one]
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format(
      '\\nJSON {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p95_ms": %.3f, "p99_ms": %.3f, "failed": %d}\\n',
      summary.requests, summary.duration / 1e6,
      latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
      e.status + e.connect + e.read + e.write + e.timeout))
end
"""
PAUSE = """
function delay()
   return {}
end
"""
TIMEOUT_SECONDS = 60


class LoadError(Exception):
    """Not all requests were answered well."""


@dataclass(frozen=True)
class Measured:
    """What one server did with one operation; ``rate`` is in requests a second, the latencies are in ms."""

    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    requests: int = 0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def send_as(
    options: argparse.Namespace, server: Served, requests: Sequence[Request], connections: int | None = None
) -> Measured:
    """Send the requests in turn to a server, for as long and with as many connections as the options say.

    :param connections: instead of those of the options
    :raises LoadError: if an answer has a status of 400 or more, or does not come
    """
    number = options.connections if connections is None else connections
    return send(server.address, server.token, requests, options.seconds, number, options.pause)


def send(
    address: str, token: str, requests: Sequence[Request], seconds: float, connections: int, pause: int = 0
) -> Measured:
    """Send the requests in turn, over and over, from one thread with so many connections.

    :param pause: ms that each connection waits before a request
    :raises LoadError: if an answer has a status of 400 or more, or does not come
    """
    with tempfile.TemporaryDirectory() as name:
        script, lines = Path(name, "requests.lua"), Path(name, "requests")
        script.write_text(SCRIPT + (PAUSE.format(pause) if pause else ""))
        lines.write_text("".join(f"{r.method} {r.path} {r.payload}\n" for r in requests))
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:g}s"]
        command += ["--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(script)]
        command += [
            "--header",
            f"Authorization: Bearer {token}",
            "--header",
            "Content-Type: application/json",
        ]
        command += [address, "--", str(lines)]
        program("wrk", "install the package of that name, as by `apt install wrk`")
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures = json.loads(output.rpartition("\nJSON ")[2])
    if figures["failed"] or not figures["requests"]:
        raise LoadError(f"{figures['failed']} of {figures['requests']} failed: {requests[0]}\n{output}")
    latencies = {name: figures[name] for name in ("p50_ms", "p95_ms", "p99_ms")}
    rate = figures["requests"] / figures["seconds"]
    return Measured(rate, **latencies, requests=figures["requests"])


def median(rounds: Sequence[Measured]) -> Measured:
    """Return the round whose rate is in the middle (the lower of the two, of an even number)."""
    return sorted(rounds, key=lambda measured: measured.rate)[(len(rounds) - 1) // 2]


def in_turns(
    rounds: int, operation: str, required: float, measures: Mapping[str, Callable[[], Measured]]
) -> dict[str, Any]:
    """Measure one operation on two servers in turns, and return what came of it, as :func:`report.cells` shows it.

    :param required: the part of the first server's rate that the second one has to reach
    :param measures: what measures each of the two once, by the name that it has in the result
    :returns: ``operation`` and ``required``; the median round of each server, by its name; ``part``: of the first one's
        rate that the second one reaches; ``rounds``: all of them
    """
    report.say(f"  {operation} ...")
    measured = [[measure() for measure in measures.values()] for _ in range(rounds)]
    first, second = (median(each) for each in zip(*measured, strict=True))
    return {
        "operation": operation,
        **{name: each.as_dict() for name, each in zip(measures, (first, second), strict=True)},
        "part": second.rate / first.rate,
        "required": required,
        "rounds": [[each.as_dict() for each in pair] for pair in measured],
    }
