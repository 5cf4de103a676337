"""The original file of a part of another format, without identity: what `ropeway pack --keep-raw` adds beside the part.

Which formats can, and what becomes of their files, their own adapters say (`Adapter.raw`).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload
from ropeway_shardgen.fields import Fields


class RawOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose files are kept, and how their UIDs are replaced."""

    adapter: str
    """The adapter that reads the part."""
    key: str
    """Hex; keys what stands for the UIDs of objects."""
    parts: tuple[Mapping[str, Any], ...]
    """The adapter's options for each part that is read from the file."""


def read(path: Path, _fields: Fields, options: RawOptions) -> Payload:
    """The file without identity.

    Raises:
        ValueError: it is not of the format, or cannot be kept; the message says why.
    """
    adapter, parts = _whose(options)
    if adapter.raw is None:
        raise ValueError(f"the adapter {options.adapter} keeps no original files")
    return adapter.raw(path, bytes.fromhex(options.key), parts)


def companions(path: Path, options: RawOptions) -> Iterable[Path]:
    """The files beside it that the adapter reads too, such as the signals of a header, or keeps, such as annotations.

    Tables that many files share lie in other folders, and are no part of an original.
    """
    adapter, parts = _whose(options)
    read_too = (file for one in parts for file in adapter.companions(path, one) if file.parent == path.parent)
    return dict.fromkeys((*read_too, *(file for one in parts for file in adapter.kept_too(path, one))))


def _whose(options: RawOptions) -> tuple[Adapter[Any], list[Options]]:
    """The adapter that reads the parts, and its options for each."""
    from ropeway_shardgen.adapters import adapter

    found = adapter(options.adapter)
    return found, [msgspec.convert(one, found.options) for one in options.parts]


ADAPTER = Adapter(options=RawOptions, read=read, companions=companions)
