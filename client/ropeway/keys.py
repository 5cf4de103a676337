"""Names in a store: sample keys, part names, dataset ids.

A stock WebDataset reader takes everything up to the first dot of a file name as the key, so a DICOM UID as a raw id
would make one sample of many. Keys here hold no dot: what is not `A-Z a-z 0-9 _ -` or a separating `/` is
percent-escaped (UTF-8 bytes, upper-case hex), which is reversible.
"""

import re
from urllib.parse import quote, unquote

from ropeway.errors import FormatError

_SEGMENT = r"(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_PART = re.compile(r"[a-z][a-z0-9_-]*")
_DATASET = re.compile(r"[a-z0-9][a-z0-9_-]*")


def escape_key(raw: str) -> str:
    """The key of a raw id; `/` keeps its meaning, empty segments are refused.

    Raises:
        FormatError: the raw id is empty or has an empty segment.
    """
    if not raw or "" in raw.split("/"):
        raise FormatError(f"a raw id may not be empty or have an empty segment between slashes: {raw!r}")
    return "/".join(quote(segment, safe="").replace(".", "%2E").replace("~", "%7E") for segment in raw.split("/"))


def unescape_key(key: str) -> str:
    """The raw id of a key: the inverse of `escape_key`."""
    return unquote(key, errors="strict")


def check_key(key: str) -> str:
    """Return `key`, or raise FormatError when it is not a key of this format."""
    if not _KEY.fullmatch(key):
        raise FormatError("not a sample key (escape raw ids with escape_key)", key=key)
    return key


def check_part(name: str) -> str:
    """Return `name`, or raise FormatError when it cannot name a part."""
    if not _PART.fullmatch(name):
        raise FormatError(f"not a part name: {name!r} (lower-case letters, digits, _ and -, starting with a letter)")
    return name


def check_dataset(dataset: str) -> str:
    """Return `dataset`, or raise FormatError when it cannot name a dataset."""
    if not _DATASET.fullmatch(dataset):
        raise FormatError(f"not a dataset id: {dataset!r} (lower-case letters, digits, _ and -)")
    return dataset
