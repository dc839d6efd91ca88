"""What every kind of storage does, and what it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
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


class ChangedError(OSError):
    """A file was changed, or cut, while it was being read."""


class Content(Protocol):
    """A file of a dataset that is open.

    :ivar size: in bytes
    :ivar changed_at: seconds since the epoch, UTC
    """

    size: int
    changed_at: float

    def pieces(self) -> Iterator[bytes]:
        """Yield the content; needs no context of the application.

        :raises ChangedError: if the file changes meanwhile: the last piece was not yielded then
        """
        ...

    def close(self) -> None:
        """Close it. Without that, it is closed when nobody holds it any more."""
        ...


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

    def open(self, file: File) -> Content:
        """Return the content of a file; needs no context of the application.

        :raises UnknownFileError: if it is not there, or no regular file
        """
        ...
