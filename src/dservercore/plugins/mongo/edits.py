"""Edits of README, tags and annotations, as operators that leave alone what somebody else changes at the same time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from dservercore.dataset.serialization import storable_text
from dservercore.plugins.mongo.documents import encoded, encoded_annotations

# Another program may have stored something else than a list of tags and an object of annotations.
_TAGS = {"$cond": [{"$isArray": "$tags"}, "$tags", []]}
_ANNOTATIONS = {"$cond": [{"$eq": [{"$type": "$annotations"}, "object"]}, "$annotations", {"$literal": {}}]}

Update = dict[str, Any] | list[dict[str, Any]]


class Editing(ABC):
    """The methods by which the server edits what a plugin stores.

    All raise an ``UnavailableError`` if the server cannot be reached.
    """

    @abstractmethod
    def _edit(self, uri: str, update: Update) -> None:
        """Apply an update to the document of a dataset.

        :raises UnknownURIError: if the dataset is not stored
        :raises ValidationError: if MongoDB cannot hold the document with the update
        """

    def set_readme(self, uri: str, readme: str) -> None:
        """Replace the README.

        :raises UnknownURIError: if the dataset is not stored
        :raises ValidationError: if MongoDB cannot hold it
        """
        self._edit(uri, {"$set": {"readme": storable_text("readme", readme)}})

    def set_tags(self, uri: str, tags: Iterable[str]) -> None:
        """Replace the tags.

        :raises UnknownURIError: if the dataset is not stored
        :raises ValidationError: if MongoDB cannot hold them
        """
        self._edit(uri, {"$set": {"tags": list(tags)}})

    def add_tag(self, uri: str, tag: str) -> None:
        """Add a tag, if it is not there.

        :raises UnknownURIError: if the dataset is not stored
        :raises ValidationError: if MongoDB cannot hold it
        """
        self._edit(uri, [{"$set": {"tags": {"$cond": [{"$in": [_literal(tag), _TAGS]}, _TAGS, _with(tag)]}}}])

    def remove_tag(self, uri: str, tag: str) -> None:
        """Remove a tag, if it is there.

        :raises UnknownURIError: if the dataset is not stored
        """
        left = {"$filter": {"input": _TAGS, "cond": {"$ne": ["$$this", _literal(tag)]}}}
        self._edit(uri, [{"$set": {"tags": left}}])

    def set_annotations(self, uri: str, annotations: Mapping[str, Any]) -> None:
        """Replace all annotations.

        :raises UnknownURIError: if the dataset is not stored
        :raises ValidationError: if MongoDB cannot hold them
        """
        self._edit(uri, {"$set": {"annotations": encoded_annotations(annotations)}})

    def set_annotation(self, uri: str, name: str, value: Any) -> None:
        """Set one annotation.

        :raises UnknownURIError: if the dataset is not stored
        :raises ValidationError: if MongoDB cannot hold it
        """
        change = {"field": _literal(name), "input": _ANNOTATIONS, "value": _literal(encoded(value))}
        # Not {"$set": {"annotations.<name>": ...}}: a name may have dots in it.
        self._edit(uri, [{"$set": {"annotations": {"$setField": change}}}])

    def delete_annotation(self, uri: str, name: str) -> None:
        """Remove one annotation, if it is there.

        :raises UnknownURIError: if the dataset is not stored
        """
        change = {"field": _literal(name), "input": _ANNOTATIONS}
        self._edit(uri, [{"$set": {"annotations": {"$unsetField": change}}}])


def _literal(value: Any) -> dict[str, Any]:
    return {"$literal": value}


def _with(tag: str) -> dict[str, Any]:
    return {"$concatArrays": [_TAGS, [_literal(tag)]]}


def also_setting(update: Update, fields: Mapping[str, Any]) -> Update:
    """Return an update that does what *update* does, and sets *fields* as well."""
    if isinstance(update, list):
        return [*update, {"$set": dict(fields)}]
    return {**update, "$set": {**update.get("$set", {}), **fields}}
