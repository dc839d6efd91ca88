"""Files and directories that settings name: reading them, and saying in one line what is wrong with them."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from pathlib import Path

from dservercore.errors import ConfigurationError

#: No key, and no description of an API, is longer: a longer file is something else.
MAX_BYTES = 2**20


_SHOWN_CHARACTERS = 200


def shown(value: str | Path) -> str:
    """Return a value as text; of one with more than 200 characters, the beginning."""
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def path_of(text: str, setting: str) -> Path:
    """Return the absolute path that a setting says.

    :raises ConfigurationError: if its ``~`` is nobody's, or the working directory is gone
    """
    try:
        return Path(text).expanduser().absolute()
    except (RuntimeError, KeyError):
        raise ConfigurationError(
            f"{setting}: {shown(text)} is in a home directory, and there is none of that name: write the whole path"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{setting}: {shown(text)} is below the working directory, which cannot be found: {error.strerror};"
            " write the whole path"
        ) from None


def is_there(path: Path, setting: str) -> bool:
    """Return whether there is something at a path, or at the end of a link there.

    :raises ConfigurationError: if that cannot be told, because a directory may not be entered
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{setting}: cannot find {shown(path)}: {reason(error, path)}") from None
    return True


def require_usable_directory(path: Path, setting: str) -> None:
    """Pass if a directory may be entered and read, or is not there yet and its parents are directories.

    :raises ConfigurationError: otherwise
    """
    if not is_there(path, setting):
        if path.is_symlink():
            raise ConfigurationError(
                f"{setting}: {shown(path)} is a link to {os.readlink(path)}, which is not there"
            )
        if file := next((parent for parent in path.parents if parent.is_file()), None):
            raise ConfigurationError(
                f"{setting}: {shown(path)} is below {shown(file)}, which is not a directory"
            )
        return
    if not path.is_dir():
        raise ConfigurationError(f"{setting}: {shown(path)} is not a directory")
    if not os.access(path, os.R_OK | os.X_OK):
        refused = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        raise ConfigurationError(f"{setting}: cannot use {shown(path)}: {reason(refused, path)}")


def text_of(path: str | Path, setting: str) -> str:
    """Return the text of a file, without a byte order mark.

    :param setting: name of the setting that the path comes from, for the error
    :raises ConfigurationError: if it is no regular file, cannot be read, is too long or is not in UTF-8
    """
    file = path_of(str(path), setting)
    try:
        # A pipe without a writer would have everybody wait.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(mode):
                raise ConfigurationError(f"{setting}: cannot read {shown(file)}: not a regular file")
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{setting}: cannot read {shown(file)}: {reason(error, file)}") from None
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{setting}: cannot read {shown(file)}: it has more than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}: cannot read {shown(file)}: not a text file in UTF-8") from None


def reason(error: OSError | ValueError, path: Path) -> str:
    """Return why a file cannot be used, and what would help, in a part of a line."""
    if not isinstance(error, OSError):
        return str(error)
    said = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{said}; {_what_is_forbidden(path)}"
    if error.errno == errno.ENOENT and path.is_symlink():
        return f"{said}; it is a link to {os.readlink(path)}"
    if error.errno == errno.EROFS:
        return f"{said}; name a place on another one"
    return said


def _what_is_forbidden(path: Path) -> str:
    who = f"the user {user_name()}"
    # What may not be entered may be on the way to where a link leads.
    target = Path(os.path.realpath(path))
    for directory in [*reversed(path.parents), *reversed(target.parents), target]:
        # Of what is in there the system tells nothing, not even whether it is a directory.
        if not os.access(directory, os.X_OK) and os.path.isdir(directory):
            return f"{who} may not enter {directory}: chown or chmod it, or name another place"
    if not os.path.exists(path):
        return f"{who} may not write in {path.parent}: chown or chmod it, or name another place"
    return f"chown or chmod it, so that {who} may use it"


def user_name() -> str:
    """Return who runs this process: a name, or a number where the system knows none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
