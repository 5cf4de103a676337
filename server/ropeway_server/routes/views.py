"""Views: made by a query, read in pages, opened by URLs."""

from dataclasses import fields
from time import time
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import pyarrow as pa
from fastapi import APIRouter, Body, Request, Response
from fastapi import Query as QueryParameter

from ropeway.errors import NotFound, QueryError, UsageError
from ropeway.manifest import is_url
from ropeway.query import Query
from ropeway.stores import open_store
from ropeway.view import ViewInfo
from ropeway.wire import ARROW, MEDIA_TYPE
from ropeway_server.answers import answer
from ropeway_server.service import Service, ServiceDep
from ropeway_server.views import ServedView

router = APIRouter(prefix="/v1/views", tags=["views"])

_IMMUTABLE = "public, max-age=31536000, immutable"
_QUERY_EXAMPLE = {"task": "ecg-diagnosis", "split": "train", "where": "age >= 60 and label in ('MI', 'STTC')"}


@router.post("", response_model=ViewInfo, summary="The view of a query")
def make_view(
    request: Request, service: ServiceDep, asked: Annotated[dict[str, Any], Body(examples=[_QUERY_EXAMPLE])]
) -> Response:
    """Select samples. The same samples of the same dataset versions always have the same id."""
    served = service.views.make(to_query(asked))
    service.metrics.views.inc()
    return answer(request, served.view.info)


@router.get("/{view_id}", response_model=ViewInfo, summary="A view by its id")
def get_view(view_id: str, request: Request, service: ServiceDep) -> Response:
    """What the view was made of."""
    return answer(request, service.views.get(view_id).view.info)


@router.get("/{view_id}/shards", summary="The view's shard table and its pages")
def get_shards(view_id: str, request: Request, service: ServiceDep) -> Response:
    """`shards` is what the column `shard` counts in; `pages` has the first and one-past-last row of each page."""
    served = service.views.get(view_id)
    return answer(request, {"shards": served.shards, "pages": served.pages}, {"Cache-Control": _IMMUTABLE})


@router.get(
    "/{view_id}/samples",
    summary="One page of the view's samples, as columns",
    responses={200: {"content": {MEDIA_TYPE: {}}, "description": "Columnar msgpack, see ropeway/wire.py."}},
)
def get_samples(view_id: str, request: Request, service: ServiceDep, page: int = 0) -> Response:
    """Columnar msgpack. Pages never change: they may be cached for ever."""
    tag = f'"{view_id}-{page}"'
    headers = {"ETag": tag, "Cache-Control": _IMMUTABLE}
    served = service.views.get(view_id)
    if not 0 <= page < len(served.pages):
        raise NotFound(f"view {view_id} has {len(served.pages)} pages, counted from 0; there is no page {page}")
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(served.page(page), media_type=MEDIA_TYPE, headers=headers)


@router.get(
    "/{view_id}/columns",
    summary="Index columns of the view's samples",
    responses={200: {"content": {ARROW: {}}, "description": "An Arrow IPC stream, in row order."}},
)
def get_columns(
    view_id: str,
    service: ServiceDep,
    name: Annotated[list[str], QueryParameter(description="subject, split, key, or metadata by its bare name.")],
) -> Response:
    """Columns with nulls, one row per sample of the view."""
    table = service.views.get(view_id).view.columns(name)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Response(sink.getvalue().to_pybytes(), media_type=ARROW, headers={"Cache-Control": _IMMUTABLE})


@router.post("/{view_id}/access", summary="URLs of the view's shards")
def access(
    view_id: str,
    request: Request,
    service: ServiceDep,
    shards: Annotated[list[int] | None, Body(embed=True, description="Shard numbers; all by default.")] = None,
) -> Response:
    """URLs that can be read by range for so many `seconds`, until `expires` (Unix time); ask again for new ones."""
    served = service.views.get(view_id)
    wanted = range(len(served.shards)) if shards is None else shards
    base = str(request.base_url).rstrip("/")
    urls = {str(number): _shard_url(service, served, number, base) for number in wanted}
    seconds = service.settings.access_seconds
    return answer(request, {"urls": urls, "seconds": seconds, "expires": int(time()) + seconds})


def to_query(asked: dict[str, Any]) -> Query:
    """A request's body as a query.

    Raises:
        QueryError: a field that there is not, or of another type.
    """
    known = [field.name for field in fields(Query)]
    unknown = sorted(asked.keys() - set(known))
    if unknown:
        raise QueryError(f"a query has no field {unknown[0]!r}; there is: {', '.join(known)}")
    try:
        return msgspec.convert(asked, Query)
    except msgspec.ValidationError as error:
        raise QueryError(f"not a query: {error}") from error


def _shard_url(service: Service, served: ServedView, number: int, base: str) -> str:
    if not 0 <= number < len(served.shards):
        raise UsageError(f"view {served.view.id} has {len(served.shards)} shards, counted from 0; not {number}")
    path = served.shards[number].path
    store = service.store
    if is_url(path):
        if path.startswith(("http://", "https://")):
            return path
        root, _, path = path.rpartition("/")
        store = open_store(root)
    return store.sign(path, service.settings.access_seconds) or f"{base}/v1/objects/{quote(path)}"
