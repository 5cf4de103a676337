"""The range proxy: shards for networks that reach only the service, and for stores that cannot sign URLs."""

import re
from itertools import chain

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from ropeway.manifest import Shard
from ropeway_server.answers import problem, unchanged
from ropeway_server.asking import ShardReaderDep
from ropeway_server.reader import Reader
from ropeway_server.schemas import SHARD
from ropeway_server.shards import Published
from ropeway_server.threads import read_by_turns, reading

router = APIRouter(prefix="/v1/objects", tags=["bytes"])

PIECE = 1 << 20
"""Bytes read from the store at a time: a whole shard is never in memory."""

_MEDIA_TYPE = "application/x-tar"
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@router.head("/{path:path}", summary="Size of a shard", operation_id="head_object", responses={200: SHARD})
def head_object(path: str, request: Request, reader: ShardReaderDep) -> Response:
    """Size and ETag of a shard that a published manifest names."""
    shard = reader.shard(path).shard
    headers = {**_headers(shard), "Content-Length": str(shard.bytes)}
    return Response(status_code=304 if unchanged(request, headers["ETag"]) else 200, headers=headers,
                    media_type=_MEDIA_TYPE)  # fmt: skip


@router.get("/{path:path}", summary="Bytes of a shard, whole or by range", response_class=StreamingResponse,
            responses={200: SHARD, 206: SHARD, 304: {"description": "Unchanged."},
                       416: {"description": "No such range."}})  # fmt: skip
@reading
def get_object(path: str, request: Request, reader: ShardReaderDep) -> Response:
    """Serves the shards that published manifests name, and nothing else. One range per request.

    `by`, in URLs that `/v1/views/{view_id}/access` gives, stands for a token.
    """
    found = reader.shard(path)
    shard, headers = found.shard, _headers(found.shard)
    if unchanged(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    asked = asked_range(request, headers["ETag"])
    if asked is None:
        return _stream(reader, found, (0, shard.bytes), 200, headers)
    span = byte_range(asked, shard.bytes)
    if span is None:
        return no_range(shard.bytes)
    headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{shard.bytes}"
    return _stream(reader, found, span, 206, headers)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Start and stop (exclusive) of a Range header for an object of that size; None when it can't be satisfied."""
    match = _RANGE.fullmatch(header.strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:  # the last so many bytes
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
    return (start, stop) if start < stop else None


def no_range(size: int) -> Response:
    """The answer to a range that content of that size does not have."""
    answered = problem(416, f"no such range in {size} bytes", "UsageError")
    answered.headers["Content-Range"] = f"bytes */{size}"
    return answered


def _headers(shard: Shard) -> dict[str, str]:
    return {"Accept-Ranges": "bytes", "ETag": f'"{shard.sha256}"', "Cache-Control": "private, max-age=3600"}


def asked_range(request: Request, tag: str) -> str | None:
    """The Range header, unless the standard says to ignore it: another unit, or a condition that doesn't hold."""
    asked = request.headers.get("range")
    if asked is None or not asked.strip().startswith("bytes="):
        return None
    return asked if request.headers.get("if-range", tag) == tag else None


def _stream(reader: Reader, found: Published, span: tuple[int, int], status: int, headers: dict[str, str]) -> Response:
    """Reads the first piece before answering: a shard that can't be read is a problem, not half an answer."""
    start, stop = span
    reader.tell_shards("shard read", [found.ref])
    pieces = (reader.read(found.ref, at, min(stop, at + PIECE)) for at in range(start, stop, PIECE))
    content = read_by_turns(map(bytes, chain([next(pieces, memoryview(b""))], pieces)))
    return StreamingResponse(content, status, {**headers, "Content-Length": str(stop - start)}, _MEDIA_TYPE)
