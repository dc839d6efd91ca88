"""How many examples property-based tests try: the same few each time, or with ``make fuzz`` many others."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

#: How many times as many as usual; 1: the usual ones.
FACTOR = int(os.environ.get("DSERVER_FUZZ", "1"))


def load_profile() -> None:
    """Make ``settings()`` of Hypothesis what the tests are run with."""
    settings.register_profile(
        "dservercore",
        derandomize=FACTOR == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    settings.load_profile("dservercore")


def examples(number: int) -> settings:
    """Return the settings by which a property is tried with *number* examples, or that many times ``FACTOR``."""
    return settings(max_examples=number * FACTOR)
