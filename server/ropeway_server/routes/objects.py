"""The range proxy: shards for networks that reach only the service, and for stores that cannot sign URLs."""

import re
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from ropeway.errors import NotFound
from ropeway.manifest import object_path
from ropeway_server.service import Service, ServiceDep

router = APIRouter(prefix="/v1/objects", tags=["bytes"])

PIECE = 1 << 20
"""Bytes read from the store at a time: a whole shard is never in memory."""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@router.head("/{path:path}", summary="Size of a shard", operation_id="head_object")
@router.get("/{path:path}", summary="Bytes of a shard, whole or by range")
def get_object(path: str, request: Request, service: ServiceDep) -> Response:
    """Serves the shards that published manifests name, and nothing else. One range per request."""
    size, tag = _shard(service, path)
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{tag}"', "Cache-Control": "private, max-age=3600"}
    asked = request.headers.get("range")
    found = None if asked is None else byte_range(asked, size)
    if asked is not None and found is None:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, stop = found or (0, size)
    headers["Content-Length"] = str(stop - start)
    if found:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    status = 206 if found else 200
    media = "application/x-tar"
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media)
    return StreamingResponse(_pieces(service, path, start, stop), status, headers, media)


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


def _shard(service: Service, path: str) -> tuple[int, str]:
    """Size and sha256 of a published shard."""
    dataset, _, rest = path.partition("/")
    version = rest.partition("/")[0]
    try:
        manifest = service.catalog.manifest(dataset, version or None)
    except NotFound:
        manifest = None
    for shard in manifest.shards if manifest else ():
        if object_path(dataset, shard.path) == path:
            return shard.bytes, shard.sha256
    raise NotFound("no such shard in a published dataset", shard=path)


def _pieces(service: Service, path: str, start: int, stop: int) -> Iterator[bytes]:
    for at in range(start, stop, PIECE):
        piece = service.store.read(path, at, min(stop, at + PIECE))
        service.metrics.proxied.inc(len(piece))
        yield bytes(piece)
