"""The bundled search and retrieve plugins on MongoDB (5.0 or newer)."""

import logging

from dservercore.errors import ConfigurationError

try:
    import pymongo  # noqa: F401
except ModuleNotFoundError:
    raise ConfigurationError("the mongo plugins need pymongo; pip install 'dservercore[mongo]'") from None

# At DEBUG the driver logs every command, with the READMEs and annotations in it, which are not for a log.
logging.getLogger("pymongo.command").setLevel(logging.INFO)
