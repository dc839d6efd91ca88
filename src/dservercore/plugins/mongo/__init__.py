"""The bundled search and retrieve plugins on MongoDB (5.0 or newer)."""

import logging

# At DEBUG the driver logs every command, with the READMEs and annotations in it, which are not for a log.
logging.getLogger("pymongo.command").setLevel(logging.INFO)
