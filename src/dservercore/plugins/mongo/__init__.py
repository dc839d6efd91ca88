"""The bundled search and retrieve plugins on MongoDB (5.0 or newer)."""

from dservercore.errors import ConfigurationError

try:
    import pymongo  # noqa: F401
except ModuleNotFoundError:
    raise ConfigurationError("the mongo plugins need pymongo; pip install 'dservercore[mongo]'") from None
