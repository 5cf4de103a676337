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
from ropeway_server import schemas
from ropeway_server.answers import answer, unchanged
from ropeway_server.service import Service, ServiceDep
from ropeway_server.views import ServedView

router = APIRouter(prefix="/v1/views", tags=["views"])

_IMMUTABLE = "private, max-age=31536000, immutable"
"""For the requester only: what may be read, will depend on who asks."""


@router.post(
    "",
    response_model=ViewInfo,
    summary="The view of a query",
    responses={201: {"model": ViewInfo, "description": "A view that nobody asked for before."}},
    openapi_extra=schemas.query_body(),
)
def make_view(request: Request, service: ServiceDep, asked: Annotated[dict[str, Any], Body()]) -> Response:
    """Select samples. The same samples of the same dataset versions always have the same id."""
    served, new = service.views.make(to_query(asked))
    service.metrics.views.inc()
    answered = answer(request, served.view.info, {"Location": f"/v1/views/{served.view.id}"})
    answered.status_code = 201 if new else 200
    return answered


@router.get("/{view_id}", response_model=ViewInfo, summary="A view by its id")
def get_view(view_id: str, request: Request, service: ServiceDep) -> Response:
    """What the view was made of."""
    return answer(request, service.views.get(view_id).view.info)


@router.get("/{view_id}/shards", response_model=schemas.ViewShards, summary="The view's shard table and its pages")
def get_shards(view_id: str, request: Request, service: ServiceDep) -> Response:
    """`shards` is what the column `shard` counts in; `pages` has the first and one-past-last row of each page."""
    served = service.views.get(view_id)
    table = schemas.ViewShards(shards=served.shards, pages=tuple(served.pages))
    return answer(request, table, {"Cache-Control": _IMMUTABLE})


@router.get(
    "/{view_id}/samples",
    summary="One page of the view's samples, as columns",
    response_class=Response,
    responses={
        **schemas.content(MEDIA_TYPE, "Columnar msgpack, see ropeway/wire.py."),
        304: {"description": "Unchanged."},
    },
)
def get_samples(view_id: str, request: Request, service: ServiceDep, page: int = 0) -> Response:
    """Columnar msgpack. Pages never change: they may be cached for ever."""
    tag = f'"{view_id}-{page}"'
    headers = {"ETag": tag, "Cache-Control": _IMMUTABLE}
    served = service.views.get(view_id)
    if not 0 <= page < len(served.pages):
        raise NotFound(f"view {view_id} has {len(served.pages)} pages, counted from 0; there is no page {page}")
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(served.page(page), media_type=MEDIA_TYPE, headers=headers)


@router.get(
    "/{view_id}/columns",
    summary="Index columns of the view's samples",
    response_class=Response,
    responses=schemas.content(ARROW, "An Arrow IPC stream, in row order."),
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


@router.post(
    "/{view_id}/access",
    response_model=schemas.Access,
    summary="URLs of the view's shards",
    responses=schemas.example({"urls": {"0": "https://bucket.example/…"}, "expires": 1790000000, "seconds": 900}),
)
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
    given = schemas.Access(urls=urls, expires=int(time()) + seconds, seconds=seconds)
    return answer(request, given, {"Cache-Control": "no-store"})


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
