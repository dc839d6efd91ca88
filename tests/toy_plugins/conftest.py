"""The plugins of docs/how-to/write-a-plugin.rst. Their tests need them installed, as tests/test_toy_plugins.py does."""

collect_ignore_glob = ["*/test_*.py"]
