"""Names in a store: sample keys, part names, dataset ids.

A stock WebDataset reader takes everything up to the first dot of a file name as the key, so a DICOM UID as a raw id
would make one sample of many. Keys here hold no dot: what is not `A-Z a-z 0-9 _ -` or a separating `/` is
percent-escaped (UTF-8 bytes, upper-case hex), which is reversible. The same readers skip a leading folder of the form
`__name__`, so a key's first `_` is escaped there.
"""

import re
from urllib.parse import quote, unquote

from ropeway.errors import FormatError

_SEGMENT = r"(?:[A-Za-z0-9_-]++|%[0-9A-F]{2})+"
_SKIPPED = re.compile(r"__[^/]*__/")
_KEY = re.compile(rf"(?!{_SKIPPED.pattern}){_SEGMENT}(?:/{_SEGMENT})*")
_PART = re.compile(r"[a-z][a-z0-9_-]*")
_TAKEN = ("task", "meta")
"""Not parts: the index has columns `task.…` and `meta.…` of its own."""
_TASK = re.compile(r"[a-z][a-z0-9_-]*")
_DATASET = re.compile(r"[a-z0-9][a-z0-9_-]*")


def escape_key(raw: str) -> str:
    """The key of a raw id; `/` keeps its meaning, empty segments are refused.

    Raises:
        FormatError: the raw id is empty, has an empty segment, or is not Unicode text.
    """
    if "%" not in raw and _KEY.fullmatch(raw):
        return raw
    if not raw or "" in raw.split("/"):
        raise FormatError(f"a raw id may not be empty or have an empty segment between slashes: {raw!r}")
    try:
        key = "/".join(quote(segment, safe="").replace(".", "%2E").replace("~", "%7E") for segment in raw.split("/"))
    except UnicodeEncodeError as error:
        raise FormatError(f"a raw id is not Unicode text: {raw!r}") from error
    return f"%5F{key[1:]}" if _SKIPPED.match(key) else key


def unescape_key(key: str) -> str:
    """The raw id of a key: the inverse of `escape_key`."""
    try:
        return unquote(check_key(key), errors="strict")
    except UnicodeDecodeError as error:
        raise FormatError("the key's escapes are not UTF-8", key=key) from error


def check_key(key: str) -> str:
    """Return `key`, or raise FormatError when it is not a key of this format."""
    if not _KEY.fullmatch(key):
        raise FormatError("not a sample key (escape raw ids with escape_key)", key=key)
    return key


def check_part(name: str) -> str:
    """Return `name`, or raise FormatError when it cannot name a part."""
    if not _PART.fullmatch(name):
        raise FormatError(f"not a part name: {name!r} (lower-case letters, digits, _ and -, starting with a letter)")
    if name in _TAKEN:
        raise FormatError(f"a part may not be named {name!r}: the index has {name}.… columns of its own")
    return name


def check_task(name: str) -> str:
    """Return `name`, or raise FormatError when it cannot be the id of a task."""
    if not _TASK.fullmatch(name):
        raise FormatError(f"not a task id: {name!r} (lower-case letters, digits, _ and -, starting with a letter)")
    return name


def check_dataset(dataset: str) -> str:
    """Return `dataset`, or raise FormatError when it cannot name a dataset."""
    if not is_dataset(dataset):
        raise FormatError(f"not a dataset id: {dataset!r} (lower-case letters, digits, _ and -)")
    return dataset


def is_dataset(name: str) -> bool:
    """Whether a folder's name can be that of a dataset."""
    return _DATASET.fullmatch(name) is not None
