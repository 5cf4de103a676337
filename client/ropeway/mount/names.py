"""Names of folders that come from data: class names and subjects may hold what a file name may not."""

import re
from urllib.parse import unquote

_UNFIT = re.compile(r"[/\0%]|^\.(?=\.?$)")

_EMPTY = "%"
"""Stands for the empty text: no other text's name is a percent sign alone."""


def folder_name(text: str) -> str:
    """A text as one file name: `/`, `%` and NUL are percent-escaped, all else stays as people know it.

    `AV block, 2°` stays; `LAFB/LPFB` is `LAFB%2FLPFB`; `.` and `..` are `%2E` and `%2E.`.
    """
    return _UNFIT.sub(lambda found: f"%{ord(found[0]):02X}", text) or _EMPTY


def from_folder_name(name: str) -> str | None:
    """The text whose folder name this is, or None where there is none."""
    try:
        text = "" if name == _EMPTY else unquote(name, errors="strict")
    except UnicodeDecodeError:
        return None
    return text if folder_name(text) == name else None
