"""The original file of a part of another format, without identity: what `ropeway pack --keep-raw` adds beside the part.

Which formats can, and what becomes of their files, their own adapters say (`Adapter.raw`).
"""

from pathlib import Path

from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload
from ropeway_shardgen.fields import Fields


class RawOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose files are kept, and how their UIDs are replaced."""

    adapter: str
    """The adapter that reads the part."""
    key: str
    """Hex; keys what stands for the UIDs of objects."""


def read(path: Path, _fields: Fields, options: RawOptions) -> Payload:
    """The file without identity.

    Raises:
        ValueError: it is not of the format, or cannot be kept; the message says why.
    """
    from ropeway_shardgen.adapters import adapter

    keep = adapter(options.adapter).raw
    if keep is None:
        raise ValueError(f"the adapter {options.adapter} keeps no original files")
    return keep(path, bytes.fromhex(options.key))


ADAPTER = Adapter(options=RawOptions, read=read)
