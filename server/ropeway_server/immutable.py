"""Answers that never change: by media type and encoding as the requester likes, cacheable for ever, by range."""

from fastapi import Request, Response

from ropeway import wire
from ropeway_server.answers import unchanged
from ropeway_server.pages import Page
from ropeway_server.routes.objects import asked_range, byte_range, no_range

IMMUTABLE = "private, max-age=31536000, immutable"
"""For the requester only: what may be read depends on who asks."""


def content_of(request: Request, page: Page, name: str, media_type: str = wire.MEDIA_TYPE) -> Response:
    """A page as the request wants it; `name` tells it from all others. Pages of samples come as Arrow, too."""
    arrow = media_type == wire.MEDIA_TYPE and wire.ARROW in request.headers.get("accept", "")
    zstd = _takes_zstd(request.headers.get("accept-encoding", ""))
    tag = f'"{name}{"-arrow" if arrow else ""}"'
    frame_tag = f'"{name}{"-arrow" if arrow else ""}-zstd"'
    headers = {"Cache-Control": IMMUTABLE, "Vary": "Accept, Accept-Encoding", "Accept-Ranges": "bytes"}
    for held in (tag, frame_tag):
        if unchanged(request, held):
            return Response(status_code=304, headers={**headers, "ETag": held})
    content = wire.arrow_samples(page.plain) if arrow else page.plain
    if zstd and (frame := page.zstd() if not arrow else wire.compressed(content)):
        content, tag = frame, frame_tag
        headers["Content-Encoding"] = "zstd"
    headers["ETag"] = tag
    return _ranged(request, content, wire.ARROW if arrow else media_type, headers)


def packed(request: Request, content: bytes) -> Response:
    """Columns that nobody asks for again, compressed where the requester takes that."""
    if _takes_zstd(request.headers.get("accept-encoding", "")):
        headers = {"Content-Encoding": "zstd", "Vary": "Accept-Encoding"}
        return Response(wire.compressed(content), media_type=wire.MEDIA_TYPE, headers=headers)
    return Response(content, media_type=wire.MEDIA_TYPE, headers={"Vary": "Accept-Encoding"})


def _ranged(request: Request, content: bytes, media_type: str, headers: dict[str, str]) -> Response:
    asked = asked_range(request, headers["ETag"])
    if asked is None:
        return Response(content, media_type=media_type, headers=headers)
    found = byte_range(asked, len(content))
    if found is None:
        return no_range(len(content))
    headers["Content-Range"] = f"bytes {found[0]}-{found[1] - 1}/{len(content)}"
    return Response(content[found[0] : found[1]], 206, headers, media_type)


def _takes_zstd(accepted: str) -> bool:
    """Whether an Accept-Encoding header allows zstd (RFC 9110, 12.5.3)."""
    for one in accepted.split(","):
        coding, _, quality = one.strip().lower().partition(";")
        if coding.strip() == "zstd":
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
