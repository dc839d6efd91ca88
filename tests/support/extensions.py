"""The bundled extensions, for tests that hold for every route, page and table there is."""

from __future__ import annotations

from importlib.metadata import distribution

#: Names of all bundled extensions, as ``DSERVER_EXTENSIONS`` takes them.
BUNDLED = sorted(distribution("dservercore").entry_points.select(group="dservercore.extension").names)
