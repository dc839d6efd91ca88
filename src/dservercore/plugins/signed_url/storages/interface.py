"""What every kind of storage does, and what it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from dservercore.plugins.signed_url.signatures import Holder

Kind = Literal["admin", "manifest", "readme", "overlay", "annotation", "tag", "item"]


@dataclass(frozen=True)
class File:
    """One file of a dataset.

    :param name: of the overlay, annotation or tag; the identifier of the item; else empty
    :param relpath: of an item; else empty
    """

    kind: Kind
    name: str = ""
    relpath: str = ""


@dataclass(frozen=True)
class Validity:
    """For whom URLs are signed, and for how long. Times are whole seconds since the epoch, UTC."""

    holder: Holder
    issued_at: int
    expires_at: int

    @property
    def seconds(self) -> int:
        """From when it was signed."""
        return self.expires_at - self.issued_at


class Storage(Protocol):
    """Where one dataset is stored. Methods raise UnsupportedError where the storage cannot be reached."""

    def overlay_names(self) -> list[str]:
        """Return the names of the overlays, in order."""
        ...

    def annotation_names(self) -> list[str]:
        """Return the names of the annotations, in order."""
        ...

    def read_url(self, file: File, validity: Validity) -> str:
        """Return a URL by which a file can be read, whether it is there or not."""
        ...
