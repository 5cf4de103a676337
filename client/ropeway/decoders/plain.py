"""Plain objects: JSON, msgpack, text; and bytes as they are."""

import json
from typing import Any

import msgpack

from ropeway.decoders.libraries import damage


def decode_json(content: memoryview) -> Any:
    """Any JSON value."""
    with damage():
        return json.loads(bytes(content))


def decode_text(content: memoryview) -> str:
    """UTF-8 text."""
    return str(content, "utf-8")


def decode_msgpack(content: memoryview) -> Any:
    """Any msgpack value."""
    with damage(msgpack.exceptions.UnpackException, msgpack.exceptions.StackError):
        return msgpack.unpackb(content)


def as_bytes(content: memoryview) -> bytes:
    """The content as it is: for formats decoded elsewhere."""
    return bytes(content)
