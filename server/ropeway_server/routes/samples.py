"""Single samples: what the index says of one, and the bytes of a part."""

import mimetypes

from fastapi import APIRouter, Request, Response

from ropeway import tar
from ropeway.described import SampleInfo
from ropeway.errors import NotFound
from ropeway.manifest import Manifest, object_path
from ropeway.samples import ShardRef
from ropeway_server import previews
from ropeway_server.answers import answer
from ropeway_server.asking import ReaderDep
from ropeway_server.reader import Reader
from ropeway_server.schemas import SAMPLE
from ropeway_server.threads import reading

router = APIRouter(prefix="/v1/samples", tags=["samples"])

_MEDIA = {"npy": "application/x-npy", "nii": "application/x-nifti", "dcm": "application/dicom", "webp": "image/webp"}


@router.get(
    "/{dataset}/{path:path}",
    response_model=SampleInfo,
    summary="One sample; with /{part} the bytes of one part, with /preview a picture of it",
    responses=SAMPLE,
)
@reading
def get_sample(dataset: str, path: str, request: Request, reader: ReaderDep) -> Response:
    """A sample's split, labels by class name, metadata and parts; or a part's content as it was packed.

    A last segment that names a part of the dataset asks for the part, where there is a sample of the key before it.
    """
    manifest = reader.manifest(dataset)
    key, _, part = path.rpartition("/")
    if key and part == "preview" and not any(declared.name == "preview" for declared in manifest.parts):
        return _preview(reader, manifest, reader.sample(manifest, key))
    if key and any(part == declared.name for declared in manifest.parts):
        try:
            return _part(reader, manifest, reader.sample(manifest, key), part)
        except NotFound as error:
            if error.key is None or error.shard is not None:
                raise
            missing = error
        try:
            return answer(request, reader.sample(manifest, path))
        except NotFound:
            raise missing from None
    return answer(request, reader.sample(manifest, path))


def _preview(reader: Reader, manifest: Manifest, sample: SampleInfo) -> Response:
    """Of the first part that can be shown. What is damaged or lacks its decoder here is told as not shown."""
    for part in manifest.parts:
        if part.name in sample.parts and (not part.format or previews.shown(part, part.format)):
            body, form = _content(reader, manifest, sample, part.name)
            show = previews.shown(part, form)
            if show is None:
                continue
            try:
                content, media = show(body)
            except (ValueError, OSError, ImportError) as error:
                words = f"part {part.name!r} cannot be shown: {error}"
                raise NotFound(words, dataset=manifest.dataset, key=sample.key) from error
            return Response(content, media_type=media)
    raise NotFound("no part of this sample can be shown", dataset=manifest.dataset, key=sample.key)


def _content(reader: Reader, manifest: Manifest, sample: SampleInfo, part: str) -> tuple[bytes, str]:
    """The bytes of a part that the sample has, and their format."""
    span, where = sample.span, sample.parts[part]
    shard = ShardRef(manifest.dataset, manifest.version, object_path(manifest.dataset, sample.shard), 0, "")
    content = reader.read(shard, span.offset, span.offset + span.length)
    start = where.offset - span.offset
    return bytes(content[start : start + where.length]), tar.part_format(content, part)


def _part(reader: Reader, manifest: Manifest, sample: SampleInfo, part: str) -> Response:
    if part not in sample.parts:
        raise NotFound(f"this sample lacks the part {part!r}", dataset=manifest.dataset, key=sample.key)
    body, form = _content(reader, manifest, sample, part)
    media = _MEDIA.get(form) or mimetypes.types_map.get(f".{form}", "application/octet-stream")
    return Response(body, media_type=media, headers={"Content-Disposition": f'inline; filename="sample.{form}"'})
