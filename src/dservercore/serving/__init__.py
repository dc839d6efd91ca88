"""Serving without a proxy: slow clients wait in the server, and threads are for requests that are there whole."""
