"""Measures how fast the server is, and how well it finds: ``python -m benchmarks.compare --help`` and the like."""
