"""Small raw folders and recipes for tests of packing. The files are made byte by byte, so that they are the same on
every machine."""

import hashlib
import struct
import zlib
from functools import cache
from pathlib import Path

from ropeway.stores import Store
from ropeway_shardgen import raw_samples
from ropeway_shardgen.recipe import Recipe, loads

RECIPE = """
id = "tiny"
key = "{image}"
shard_size = "64KiB"

[card]
title = "Tiny"
domain = "test"
modalities = ["image", "table"]
licence = "CC0-1.0"
access = "open"
unit = "image"

[raw]
get = "made by a test"
folder = "samples.csv, images/*.png"

[source]
table = "samples.csv"

[parts.image]
kind = "image"
adapter = "image"
file = "images/{image}.png"

[parts.covariates]
kind = "table"
adapter = "table"
options = { columns = ["age", "sex"], codes = { sex = ["F", "M"] } }

[subject]
id = "{patient}"

[split]
rule = "subject-hash"
fractions = { train = 0.6, valid = 0.2, test = 0.2 }

[tasks.finding]
type = "binary"
from = "finding"
classes = ["absent", "present"]
map = { "0" = "absent", "1" = "present" }
missing = ["-1"]

[meta]
age = { from = "age", type = "integer" }
sex = { from = "sex", type = "string" }
width = { from = "image.width", type = "integer" }
"""


def recipe(*changes: tuple[str, str], text: str = RECIPE) -> Recipe:
    """The tiny recipe, with words of its text replaced."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return loads(text, "tiny.toml")


def png(number: int, side: int = 24) -> bytes:
    """A grey picture whose pixels are derived from `number`, in a PNG without compression."""
    lines = b"".join(
        b"\0" + bytes((number * 7 + y * side + x) % 256 for x in range(side)) for y in range(side)
    )  # fmt: skip
    runs = [lines[at : at + 0xFFFF] for at in range(0, len(lines), 0xFFFF)]
    blocks = [struct.pack("<BHH", run is runs[-1], len(run), len(run) ^ 0xFFFF) + run for run in runs]
    stream = b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(lines))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
    )


def row(number: int) -> dict[str, str]:
    """The table's row of a sample: two samples per patient, every tenth unlabelled."""
    label = "-1" if number % 10 == 9 else str(number % 2)
    return {
        "image": f"{number:04d}",
        "patient": f"P{number // 2}",
        "age": str(20 + number % 60),
        "sex": "FM"[number % 3 == 0],
        "finding": label,
    }


def write_table(folder: Path, rows: list[dict[str, str]]) -> None:
    """`samples.csv` of these rows."""
    lines = [",".join(rows[0]), *(",".join(cells.values()) for cells in rows)]
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")


def write_raw(folder: Path, samples: int = 60, side: int = 24) -> Path:
    """A raw folder of the tiny recipe."""
    (folder / "images").mkdir(parents=True)
    write_table(folder, [row(number) for number in range(samples)])
    for number in range(samples):
        (folder / "images" / f"{number:04d}.png").write_bytes(png(number, side))
    return folder


def stored_digests(store: Store) -> dict[str, str]:
    """The sha256 of every object in a store, by path."""
    return {stat.path: hashlib.sha256(store.read(stat.path)).hexdigest() for stat in store.objects()}


@cache
def real_root() -> Path:
    """The raw folder of the built-in demo recipes, fetched once."""
    return raw_samples.fetch()
