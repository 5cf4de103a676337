"""The secret that keys the pseudonyms of subjects, as a site keeps it: in a file of its own."""

from pathlib import Path

from ropeway.errors import UsageError

LEAST = 16
"""Bytes of a key."""


def read_key(path: Path) -> bytes:
    """The key in a file.

    Raises:
        UsageError: it can't be read, or is too short.
    """
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"cannot read the pseudonym key {path}: {error.strerror}") from error
    if len(key) < LEAST:
        raise UsageError(f"the pseudonym key {path} is shorter than {LEAST} bytes: write a random one into it")
    return key
