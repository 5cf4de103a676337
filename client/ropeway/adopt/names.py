"""What a member of a foreign WebDataset tar is called here: its key, its part, its format.

As the webdataset library reads names: the key ends at the first dot after the last slash, what follows is the field,
in any case of letters; members without a key or a field, and `__names__` like these, are no samples' (`base_plus_ext`
and `group_by_keys` in webdataset/tariterators.py). Names here are stricter, so others are respelled.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from ropeway.keys import escape_key
from ropeway.manifest import Kind

_FORMATS = {
    "jpeg": "jpg", "cls": "txt", "cls2": "txt", "index": "txt", "inx": "txt", "id": "txt", "text": "txt",
    "transcript": "txt", "jsn": "json", "mp": "msgpack", "msg": "msgpack", "htm": "html",
}  # fmt: skip
"""Field names of the webdataset library (`decoders` in webdataset/autodecode.py) that stand for a known format."""

_DOUBLE = ("nii.gz",)
"""Formats of two words, where a field has nothing in front of them."""

PICTURES = ("jpg", "png", "webp", "tif", "tiff", "bmp")
"""They may be mixed in a part: a decoder looks at the content."""

_KINDS: dict[Kind, tuple[str, ...]] = {
    "image": (*PICTURES, "gif", "ppm", "pgm", "jp2"),
    "dicom": ("dcm", "dicom"),
    "volume": ("nii", "nii.gz", "mha", "nrrd"),
    "video": ("mp4", "mov", "avi", "mkv", "webm"),
    "signal": ("npy", "npz", "wav", "flac", "mp3", "ogg", "m4a", "edf", "bdf", "wfdb"),
    "text": ("txt", "html", "md", "srt", "vtt"),
}
_NOT_IN_PARTS = re.compile(r"[^a-z0-9_-]+")
_TAKEN = ("task", "meta")


class Field(NamedTuple):
    """A member's own name, split: the key as it is spelled there, and the field in small letters."""

    key: str
    field: str


def split(member: str) -> Field | None:
    """Key and field of a member; None for what belongs to no sample (hidden files, notes about the archive)."""
    folder, slash, base = member.removeprefix("./").rpartition("/")
    stem, dot, field = base.partition(".")
    if not stem or not dot or not field or (stem.startswith("__") and base.endswith("__")):
        return None
    return Field(folder + slash + stem, field.lower())


def key_of(template: str, shard: str, key: str) -> str:
    """A sample's key here, percent-escaped where it needs to be.

    Args:
        template: with `{key}`, and `{shard}` where keys repeat from shard to shard.
        shard: the shard's file name, without `.tar`.
        key: as the member spells it.
    """
    raw = template.replace("{shard}", shard).replace("{key}", key)
    return escape_key("/".join(segment for segment in raw.split("/") if segment))


def part_of(field: str, named: Mapping[str, str]) -> tuple[str, str]:
    """Part and format of a field: `seg.nii.gz` is (`seg`, `nii.gz`), `jpg` is (`jpg`, `jpg`).

    Args:
        field: in small letters.
        named: field → part, for those that the rules name.
    """
    first, _, rest = field.partition(".")
    form = rest if rest and field not in _DOUBLE else field
    form = _FORMATS.get(form, form)
    return named.get(field) or _part_name(first), form


def kind_of(form: str) -> Kind:
    """What kind of part a format usually is."""
    for kind, forms in _KINDS.items():
        if form in forms:
            return kind
    return "table"


def _part_name(raw: str) -> str:
    name = _NOT_IN_PARTS.sub("-", raw)
    return name if name[:1].isalpha() and name not in _TAKEN else f"part-{name}"
