"""Which files among a dataset's tags and annotations dtool has written, and which only lie there.

File managers, editors, clients of synchronisation and file servers leave files in every folder that they come by. None
of them is a tag or an annotation, and none is a reason not to register the dataset.
"""

from __future__ import annotations

import re

from dservercore.dataset.document import is_valid_name

MAX_NAMED = 10  # files that the warnings about one folder name
_ENDING = ".json"
# What Windows leaves in a folder, where the characters alone could be those of a tag.
_OF_SYSTEMS = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"}
# Copies and halves of files: their names are those of tags, with an ending.
_LEFT_BEHIND = re.compile(
    r".*\.(bak|old|save|wbk|tmp|temp|part|partial|filepart|download|crdownload|swp|swo|orig|dpkg-[a-z]+|rpm[a-z]+|lnk|url)",
    re.IGNORECASE,
)
_CONFLICT = re.compile(r".*\.sync-conflict-[0-9]{8}-[0-9]{6}.*")  # of Syncthing


def annotation_of(file: str) -> str | None:
    """Return the name of the annotation that a file of this name holds; None: dtool has not written it."""
    name = file.removesuffix(_ENDING)
    return name if name != file and is_annotation(name) else None


def is_annotation(name: str) -> bool:
    """Return whether an annotation that is found in storage may have this name: the file's, without ``.json``."""
    return _is_own(name)


def is_tag(name: str, size: int = 0) -> bool:
    """Return whether dtool has written a tag to a file of this name.

    :param size: of the file, in bytes; those that dtool writes are empty
    """
    if size or not _is_own(name):
        return False
    return name.lower() not in _OF_SYSTEMS and not _LEFT_BEHIND.fullmatch(name)


def _is_own(name: str) -> bool:
    return is_valid_name(name) and not name.startswith(".") and not _CONFLICT.fullmatch(name)


def foreign_files(folder: str, names: list[str]) -> list[str]:
    """Return warnings that files in a folder of a dataset, or its entries, are left out."""
    warnings = [
        f"{folder}/{name} is left out: dtool has not written it" for name in sorted(names)[:MAX_NAMED]
    ]
    if len(names) > MAX_NAMED:
        warnings.append(f"{len(names) - MAX_NAMED} more in {folder} are left out: dtool has not written them")
    return warnings
