"""Single samples: what the index says of one, and the bytes of a part."""

import mimetypes

from fastapi import APIRouter, Request, Response

from ropeway import tar
from ropeway.errors import NotFound
from ropeway.manifest import object_path
from ropeway_server.answers import answer
from ropeway_server.service import ServiceDep

router = APIRouter(prefix="/v1/samples", tags=["samples"])

_MEDIA = {"npy": "application/x-npy", "nii": "application/x-nifti", "dcm": "application/dicom", "webp": "image/webp"}


@router.get("/{dataset}/{path:path}", summary="One sample, or with /{part} the bytes of one part")
def get_sample(dataset: str, path: str, request: Request, service: ServiceDep) -> Response:
    """A sample's split, labels by class name, metadata and parts; or a part's content as it was packed."""
    manifest = service.catalog.manifest(dataset)
    key, _, part = path.rpartition("/")
    if part not in {declared.name for declared in manifest.parts} or not key:
        key, part = path, ""
    sample = service.catalog.sample(manifest, key)
    if not part:
        return answer(request, sample)
    if part not in sample.parts:
        raise NotFound(f"this sample lacks the part {part!r}", dataset=dataset, key=key)
    span = sample.span
    content = service.store.read(object_path(dataset, sample.shard), span.offset, span.offset + span.length)
    form = tar.part_format(content, part)
    where = sample.parts[part]
    start = where.offset - span.offset
    body = bytes(content[start : start + where.length])
    service.metrics.proxied.inc(len(body))
    media = _MEDIA.get(form) or mimetypes.types_map.get(f".{form}", "application/octet-stream")
    return Response(body, media_type=media, headers={"Content-Disposition": f'inline; filename="sample.{form}"'})
