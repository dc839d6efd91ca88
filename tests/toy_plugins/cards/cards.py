"""A search plugin: a card index in a directory, with a card for each dataset."""

import hashlib
import json
import os
from pathlib import Path

from dservercore import SearchABC
from dservercore.errors import UnavailableError
from dservercore.utils import DATASET_SORT_FIELDS


class Cards(SearchABC):
    #: What `search` looks at. The server applies the other filters itself.
    filters = frozenset({"free_text", "base_uris", "tags"})

    def get_config(self):
        """Return the setting and its default."""
        return {"CARDS_DIRECTORY": os.environ.get("CARDS_DIRECTORY", "card-index")}

    def get_config_secrets_to_obfuscate(self):
        """Return the setting that is shown as `***`."""
        return ["CARDS_DIRECTORY"]

    def init_app(self, app, *args, **kwargs):
        """Called once, when all settings are known."""
        self.directory = Path(app.config["CARDS_DIRECTORY"])
        self.directory.mkdir(parents=True, exist_ok=True)

    def ready(self):
        """Tell `/config/ready` what is wrong."""
        return None if os.access(self.directory, os.W_OK) else "the card index cannot be written to"

    def require_available(self):
        """Stop a write before it begins."""
        if problem := self.ready():
            raise UnavailableError(problem)

    def register_dataset(self, dataset_info):
        """Write a card, or replace the one of the same URI."""
        card = {field: dataset_info[field] for field in (*DATASET_SORT_FIELDS, "tags")}
        card["text"] = f"{dataset_info['name']} {dataset_info['readme']}".lower()
        file = self.directory / f"{hashlib.sha256(card['uri'].encode()).hexdigest()}.json"
        # A file that is replaced at once is never half written.
        new = file.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(card))
        new.replace(file)

    def search(self, query, pagination_parameters=None, sort_parameters=None):
        """Return the cards that match: one page, or all of them."""
        cards = [json.loads(file.read_text()) for file in self.directory.glob("*.json")]
        found = [card for card in cards if self._matches(card, query)]
        order = dict(sort_parameters.order) if sort_parameters else {}
        order.setdefault("uri", 1)  # what is equal otherwise
        for field, direction in reversed(order.items()):  # the most important one last
            if field in DATASET_SORT_FIELDS:  # and not by relevance, which all cards have alike
                found.sort(key=lambda card: card[field], reverse=direction < 0)
        if pagination_parameters is None:
            return found
        pagination_parameters.item_count = len(found)
        return found[pagination_parameters.first_item : pagination_parameters.last_item + 1]

    def _matches(self, card, query):
        words = query["free_text"].lower().split() if "free_text" in query else [""]
        return (
            card["base_uri"] in query["base_uris"]
            and set(query.get("tags", ())) <= set(card["tags"])
            and bool(words)  # an empty text finds nothing
            and all(word in card["text"] for word in words)
        )
