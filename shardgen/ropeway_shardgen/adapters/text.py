"""Text files, such as reports: stored as UTF-8, their words and line ends untouched."""

from collections.abc import Iterator
from pathlib import Path

from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row
from ropeway_shardgen.adapters.whole import whole
from ropeway_shardgen.fields import Fields


class TextOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the bytes stand for letters."""

    encoding: str = "utf-8-sig"
    """Python's name of it; the usual one takes UTF-8 with and without a byte order mark. Never guessed."""


def rows(path: Path, _options: TextOptions) -> Iterator[Row]:
    """One row, of which only the size is known."""
    yield Row({}, path.stat().st_size)


def read(path: Path, _found: Fields, options: TextOptions) -> Payload:
    """The text as UTF-8; its `characters` are a field.

    Raises:
        ValueError: the bytes are not text in that encoding.
    """
    return of_bytes(whole(path), options)


def of_bytes(content: bytes, options: TextOptions) -> Payload:
    """As `read`, of a file's bytes."""
    return text_payload(_decoded(content, options.encoding))


def text_payload(words: str) -> Payload:
    """A text as a txt payload.

    Raises:
        ValueError: it holds a zero character, as only binary content does.
    """
    if "\0" in words:
        raise ValueError("not text: it holds a zero character")
    return Payload(content=words.encode("utf-8"), format="txt", fields={"characters": len(words)})


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        place = f"byte 0x{content[error.start]:02x} at {error.start}"
        raise ValueError(f"not {encoding} text: {place} (give the encoding, such as latin-1)") from None
    except LookupError:
        raise ValueError(f"there is no encoding {encoding!r}") from None


ADAPTER = Adapter(options=TextOptions, read=read, of_bytes=of_bytes, rows=rows)
