"""Byte sizes as people write them."""

import re

from ropeway.errors import UsageError

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of a size such as `256MiB`, `1.5 GB` or `1048576`.

    Raises:
        UsageError: it is not a size, or less than one byte.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"not a size: {text!r} (write 256MiB, 1GB or a number of bytes)")
    number, prefix, binary = match.groups()
    size = int(float(number) * (1024 if binary else 1000) ** " kmgt".index(prefix.lower() or " "))
    if size < 1:
        raise UsageError(f"a size must be at least one byte, not {text!r}")
    return size


def format_size(size: float) -> str:
    """A size for people: `5.2 MB` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
