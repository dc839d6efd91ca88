"""An extension: counts the words of READMEs, and keeps a journal of what is registered."""

import os

from flask import current_app
from flask.views import MethodView
from marshmallow import Schema, fields

from dservercore import Blueprint, ExtensionABC
from dservercore.errors import ConfigurationError
from dservercore.utils import get_readme_from_uri_by_user, url_suffix_to_uri
from dservercore.utils_auth import get_jwt_identity, jwt_required

blueprint = Blueprint("wordcount", __name__, url_prefix="/wordcount", description="Words of READMEs")


class WordCountSchema(Schema):
    """How long a README is."""

    words = fields.Integer(required=True)


def count(readme):
    """Return how many words have WORDCOUNT_LETTERS letters or more."""
    least = int(current_app.config["WORDCOUNT_LETTERS"])
    return sum(len(word) >= least for word in readme.split())


@blueprint.route("/<path:uri>")
class Words(MethodView):
    @blueprint.response(200, WordCountSchema)
    @jwt_required()
    def get(self, uri):
        """Count the words of a dataset's README."""
        readme = get_readme_from_uri_by_user(get_jwt_identity(), url_suffix_to_uri(uri))
        return {"words": count(readme)}


class WordCount(ExtensionABC):
    def get_config(self):
        """Return the settings and their defaults."""
        return {
            "WORDCOUNT_LETTERS": os.environ.get("WORDCOUNT_LETTERS", "1"),
            "WORDCOUNT_JOURNAL": os.environ.get("WORDCOUNT_JOURNAL", "wordcount.log"),
        }

    def init_app(self, app, *args, **kwargs):
        """Called once, when all settings are known."""
        if not str(app.config["WORDCOUNT_LETTERS"]).isdecimal():
            raise ConfigurationError("WORDCOUNT_LETTERS: expected a number")

    def get_blueprint(self):
        return blueprint

    def register_dataset(self, dataset_info):
        """A dataset was registered, registered again, or edited."""
        self._note(f"{dataset_info['uri']} {count(dataset_info['readme'])} words")

    def delete_dataset(self, uri):
        """A dataset was deleted."""
        self._note(f"{uri} deleted")

    def _note(self, line):
        with open(current_app.config["WORDCOUNT_JOURNAL"], "a") as journal:
            journal.write(f"{line}\n")
