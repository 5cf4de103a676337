"""What answers and bodies look like, for `openapi`; and the answers that only the service has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import msgspec
from pydantic import Strict

from ropeway.definition import Definition
from ropeway.query import Query
from ropeway.samples import ShardRef
from ropeway.saved import SavedView
from ropeway.view import ViewInfo
from ropeway.wire import ARROW, MEDIA_TYPE

Whole: TypeAlias = Annotated[int, Strict()]
"""A number in a request's body, which `false` is not."""

Flag: TypeAlias = Annotated[bool, Strict()]
"""Yes or no in a request's body, which 0 is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem document (RFC 9457).

    Attributes:
        type: the name of the error that the Python client raises.
        detail: what is wrong, and what would be right.
    """

    type: str
    title: str
    status: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the service is, or that something was done."""

    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewShards:
    """A view's shard table and pages.

    Attributes:
        shards: what the column `shard` of the samples counts in.
        pages: first and one-past-last row of each page of samples.
        layouts: of each page of the layout; a joined view has none.
    """

    shards: tuple[ShardRef, ...]
    pages: tuple[tuple[int, int], ...]
    layouts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """URLs of a view's shards.

    Attributes:
        urls: by shard number; each can be read by range.
        expires: Unix seconds, by the service's clock.
        seconds: how long they hold from now on, for requesters with another clock.
    """

    urls: Mapping[str, str]
    expires: int
    seconds: int


_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

SHARD: dict[str, Any] = {"description": "Bytes of a tar file.", "content": {"application/x-tar": _BYTES}}

PAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Columnar msgpack, see ropeway/wire.py; or the same columns as an Arrow IPC stream.",
        "content": {MEDIA_TYPE: _BYTES, ARROW: _BYTES},
    },
    206: {"description": "The bytes asked for.", "content": {MEDIA_TYPE: _BYTES, ARROW: _BYTES}},
    304: {"description": "Unchanged."},
    416: {"description": "No such range."},
}

SAMPLE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sample; spans are offset and length in bytes. Or the part, in its own media type.",
        "content": {"image/png": _BYTES, "text/plain": _BYTES, "application/octet-stream": _BYTES, "*/*": _BYTES},
    }
}

TOLD: list[Any] = [Query, Definition, ViewInfo, SavedView, ViewShards]
"""Types that answers are encoded from as they are, and that FastAPI does not know of: see `told`."""

REF = "#/components/schemas/{name}"


def query_body() -> dict[str, Any]:
    """The OpenAPI request body of a query, or of a definition."""
    schema = {**msgspec.json.schema_components([Query], ref_template=REF)[1]["Query"], "additionalProperties": False}
    (definition,), _ = msgspec.json.schema_components([Definition], ref_template=REF)
    content = {"application/json": {"schema": {"anyOf": [schema, definition]}}}
    return {"requestBody": {"required": True, "content": content}}


def told(kind: Any, description: str, *, status: int = 200, arrow: bool = False) -> dict[int | str, dict[str, Any]]:
    """A route's answer, by the type that it is encoded from; that type is one of `TOLD`, or a list of them."""
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=REF)
    other = {ARROW: _BYTES} if arrow else {}
    return {status: {"description": description, "content": {"application/json": {"schema": schema}, **other}}}


def content(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """A route's answer in one media type that is not JSON."""
    return {200: {"description": description, "content": {media_type: _BYTES}}}
