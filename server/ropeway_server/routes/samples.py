"""Single samples: what the index says of one, and the bytes of a part."""

import mimetypes

from fastapi import APIRouter, Request, Response

from ropeway import tar
from ropeway.catalog import SampleInfo
from ropeway.errors import NotFound
from ropeway.manifest import Manifest, object_path
from ropeway.samples import ShardRef
from ropeway.shard_bytes import StoreBytes
from ropeway_server.answers import answer
from ropeway_server.schemas import example
from ropeway_server.service import Service, ServiceDep

router = APIRouter(prefix="/v1/samples", tags=["samples"])

_MEDIA = {"npy": "application/x-npy", "nii": "application/x-nifti", "dcm": "application/dicom", "webp": "image/webp"}
_SAMPLE = {
    "key": "00001", "split": "train", "subject": "s7", "shard": "0123456789ab/train-000000.tar", "span": [0, 25088],
    "parts": {"ecg": [512, 24128]}, "labels": {"ecg-diagnosis": ["MI"]}, "meta": {"age": 61},
}  # fmt: skip


@router.get(
    "/{dataset}/{path:path}",
    response_model=SampleInfo,
    summary="One sample, or with /{part} the bytes of one part",
    responses=example(_SAMPLE, "The sample; spans are offset and length in bytes. Or the part, in its own media type."),
)
def get_sample(dataset: str, path: str, request: Request, service: ServiceDep) -> Response:
    """A sample's split, labels by class name, metadata and parts; or a part's content as it was packed.

    A last segment that names a part of the dataset asks for the part, where there is a sample of the key before it.
    """
    manifest = service.catalog.manifest(dataset)
    key, _, part = path.rpartition("/")
    if key and any(part == declared.name for declared in manifest.parts):
        try:
            return _part(service, manifest, service.catalog.sample(manifest, key), part)
        except NotFound as error:
            if error.key is None or error.shard is not None:
                raise
            missing = error
        try:
            return answer(request, service.catalog.sample(manifest, path))
        except NotFound:
            raise missing from None
    return answer(request, service.catalog.sample(manifest, path))


def _part(service: Service, manifest: Manifest, sample: SampleInfo, part: str) -> Response:
    if part not in sample.parts:
        raise NotFound(f"this sample lacks the part {part!r}", dataset=manifest.dataset, key=sample.key)
    span, where = sample.span, sample.parts[part]
    shard = ShardRef(manifest.dataset, manifest.version, object_path(manifest.dataset, sample.shard), 0, "")
    content = StoreBytes(service.store, [shard]).read(0, span.offset, span.offset + span.length)
    form = tar.part_format(content, part)
    start = where.offset - span.offset
    body = bytes(content[start : start + where.length])
    service.metrics.proxied.inc(len(body))
    media = _MEDIA.get(form) or mimetypes.types_map.get(f".{form}", "application/octet-stream")
    return Response(body, media_type=media, headers={"Content-Disposition": f'inline; filename="sample.{form}"'})
