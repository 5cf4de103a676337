"""Instruction files of vision-language models (LLaVA's JSON list, or JSON lines): one conversation per sample.

An object has `conversations`, a list of turns `{"from": "human" | "gpt", "value": text}`, beside an id, an image's name
and the like. LLaVA-Med's own files misspell it as `conversatons`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row
from ropeway_shardgen.fields import Fields, lookup

_NAMES = ("conversations", "conversatons")
_BLANK = b" \t\r\n"


class ConversationsOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Conversations need no telling."""


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """What one side says."""

    from_: Literal["human", "gpt"]
    value: str


def rows(path: Path, _options: ConversationsOptions) -> Iterator[Row]:
    """One row per object: `row` (from 1), `start` and `length` (bytes), `turns` (a count), and its plain entries.

    An entry that is an object of truth values (`{"ct_scan": true, "mri": false}`) becomes the names of those that are
    true, joined by `;`. Other nested entries are not fields.
    """
    for number, (start, content) in enumerate(_objects(path.read_bytes()), 1):
        entry = msgspec.json.decode(content)
        if not isinstance(entry, dict):
            raise ValueError(f"entry {number} is not an object")
        turns = len(_turns(entry, f"entry {number}"))
        fields = {name: _plain(value) for name, value in entry.items() if not isinstance(value, list)}
        place = {"row": number, "start": start, "length": len(content), "turns": turns}
        yield Row({**fields, **place}, len(content))


def read(path: Path, fields: Fields, _options: ConversationsOptions) -> Payload:
    """The turns as JSON: `[{"from": "human", "value": "…"}, …]`, in their order.

    Raises:
        ValueError: the file is not what was listed.
    """
    start, length = (int(lookup(fields, name) or 0) for name in ("start", "length"))
    with path.open("rb") as file:
        file.seek(start)
        content = file.read(length)
    entry = msgspec.json.decode(content)
    if not isinstance(entry, dict):
        raise ValueError(f"no object at byte {start}: the file has changed since it was listed")
    return Payload(content=msgspec.json.encode(_turns(entry, f"the object at byte {start}")), format="json")


def _objects(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The entries of a JSON list or of JSON lines, with the byte they begin at."""
    if content.lstrip(_BLANK)[:1] != b"[":
        at = 0
        for line in content.splitlines(keepends=True):
            if line.strip(_BLANK):
                yield at, line
            at += len(line)
        return
    at = 0
    for raw in msgspec.json.decode(content, type=list[msgspec.Raw]):
        entry = bytes(raw)
        at = content.index(entry, at)
        yield at, entry
        at += len(entry)


def _turns(entry: dict[str, object], place: str) -> list[Turn]:
    found = [entry[name] for name in _NAMES if name in entry]
    if len(found) != 1:
        raise ValueError(f"{place} has {len(found)} conversations (the entry is called {' or '.join(_NAMES)})")
    try:
        turns = msgspec.convert(found[0], list[Turn])
    except msgspec.ValidationError as error:
        raise ValueError(f"{place}: {error}") from error
    if not turns:
        raise ValueError(f"{place} has a conversation without a turn")
    return turns


def _plain(value: object) -> Value:
    if isinstance(value, dict):
        return ";".join(name for name, true in value.items() if true is True) or None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ValueError(f"not a plain entry: {type(value).__name__}")


ADAPTER = Adapter(options=ConversationsOptions, read=read, rows=rows, locators=lambda _: ("start", "length"))
