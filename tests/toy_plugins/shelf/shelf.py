"""A retrieve plugin: a shelf in a directory, with a JSON file for each dataset."""

import hashlib
import json
import os
from pathlib import Path

from dservercore import RetrieveABC, UnknownURIError, ValidationError
from dservercore.errors import UnavailableError

FIELDS = ("readme", "manifest", "annotations", "tags")
LONGEST_README = 1_000_000


class Shelf(RetrieveABC):
    def get_config(self):
        """Return the setting and its default."""
        return {"SHELF_DIRECTORY": os.environ.get("SHELF_DIRECTORY", "shelf-data")}

    def init_app(self, app, *args, **kwargs):
        """Called once, when all settings are known."""
        self.directory = Path(app.config["SHELF_DIRECTORY"])
        self.directory.mkdir(parents=True, exist_ok=True)

    def ready(self):
        """Tell `/config/ready` what is wrong."""
        return None if os.access(self.directory, os.W_OK) else "the shelf cannot be written to"

    def require_available(self):
        """Stop a write before it begins."""
        if problem := self.ready():
            raise UnavailableError(problem)

    # What has to be there

    def register_dataset(self, dataset_info):
        """Put a document on the shelf, in the place of the one of the same URI."""
        self._put(dataset_info["uri"], {field: dataset_info[field] for field in FIELDS})

    def get_readme(self, uri):
        return self._get(uri)["readme"]

    def get_manifest(self, uri):
        return self._get(uri)["manifest"]

    def get_annotations(self, uri):
        return self._get(uri)["annotations"]

    def get_tags(self, uri):
        return self._get(uri)["tags"]

    # What may be left out

    def delete_dataset(self, uri):
        self._file(uri).unlink(missing_ok=True)

    def set_readme(self, uri, readme):
        self._put(uri, {**self._get(uri), "readme": readme})

    def set_annotations(self, uri, annotations):
        self._put(uri, {**self._get(uri), "annotations": annotations})

    def set_tags(self, uri, tags):
        self._put(uri, {**self._get(uri), "tags": tags})

    def _get(self, uri):
        try:
            return json.loads(self._file(uri).read_text())
        except FileNotFoundError:
            raise UnknownURIError(f"Not on the shelf: {uri}") from None

    def _put(self, uri, document):
        if len(document["readme"]) > LONGEST_README:
            raise ValidationError(f"readme: must have at most {LONGEST_README} characters")
        # A file that is replaced at once is never half written.
        new = self._file(uri).with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(document))
        new.replace(self._file(uri))

    def _file(self, uri):
        return self.directory / f"{hashlib.sha256(uri.encode()).hexdigest()}.json"
