"""The REST API as its clients see it, one module per resource or rule."""
