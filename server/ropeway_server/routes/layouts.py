"""What a stream needs of a view: where all samples lie, and the rest of those that it delivers."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import ConfigDict

from ropeway import wire
from ropeway.errors import NotFound, QueryError
from ropeway.samples import PAGE_ROWS, Ints
from ropeway_server import schemas
from ropeway_server.asking import ReaderDep, ServiceDep
from ropeway_server.immutable import content_of, packed
from ropeway_server.views import ServedView

router = APIRouter(prefix="/v1/views", tags=["views"])

Number = Annotated[int, Query(ge=0, le=1 << 31, description="Pages are counted from 0; /shards tells their bounds.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows are wanted.

    Attributes:
        rows: first and one-past-last row of each run of neighbours, ascending; 65,536 rows in all at most.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    rows: list[tuple[schemas.Whole, schemas.Whole]]


@router.get(
    "/{view_id}/layout",
    summary="Where the view's samples lie",
    response_class=Response,
    responses=schemas.PAGE,
)
def get_layout(view_id: str, request: Request, reader: ReaderDep, service: ServiceDep, page: Number = 0) -> Response:
    """Columnar msgpack of `shard`, `length` and `gap`: what an order is made of, a fraction of the pages of samples."""
    served = _paged(reader.opened(view_id, "samples listed"), page)
    return content_of(request, service.views.layout(served, page), f"{view_id}-layout-{page}")


@router.get(
    "/{view_id}/layout/{part}",
    summary="Where a part lies in the view's samples",
    response_class=Response,
    responses=schemas.PAGE,
)
def get_spans(
    view_id: str, part: str, request: Request, reader: ReaderDep, service: ServiceDep, page: Number = 0
) -> Response:
    """Columnar msgpack of `lead` and `length`, for the rows of the layout's page of that number."""
    served = _paged(reader.opened(view_id, "samples listed"), page)
    known = [one.name for one in served.view.info.parts]
    if part not in known:
        raise NotFound(f"no such part in view {view_id}; there is: {', '.join(known)}")
    return content_of(request, service.views.spans(served, part, page), f"{view_id}-layout-{part}-{page}")


@router.post(
    "/{view_id}/details",
    summary="Keys, checksums and labels of some of the view's samples",
    response_class=Response,
    responses=schemas.content(wire.MEDIA_TYPE, "Columnar msgpack, a row for each that was asked for."),
)
def get_details(view_id: str, request: Request, reader: ReaderDep, asked: Annotated[Wanted, Body()]) -> Response:
    """What the layout does not tell, for those who deliver some rows of a large view."""
    served = _paged(reader.opened(view_id, "samples listed"), 0)
    return packed(request, served.details(rows_of(asked.rows, served.view.samples)))


def rows_of(runs: list[tuple[int, int]], samples: int) -> Ints:
    """The rows of runs of neighbours.

    Raises:
        QueryError: they are not ascending, not in the view, none, or too many.
    """
    bounds = np.array([min(max(bound, -1), samples + 1) for run in runs for bound in run], np.int64)
    firsts, stops = bounds[::2], bounds[1::2]
    if not len(runs) or (firsts >= stops).any() or (firsts[1:] < stops[:-1]).any():
        raise QueryError("rows are runs of neighbours, ascending: [first, one past the last]; and at least one row")
    if firsts[0] < 0 or stops[-1] > samples:
        raise QueryError(f"rows are from 0 to {samples:,} in this view")
    sizes = stops - firsts
    if sizes.sum() > PAGE_ROWS:
        raise QueryError(f"at most {PAGE_ROWS:,} rows at once, not {int(sizes.sum()):,}: ask for some after the others")
    rows: Ints = np.arange(sizes.sum()) + np.repeat(firsts - (np.cumsum(sizes) - sizes), sizes)
    return rows


def _paged(served: ServedView, page: int) -> ServedView:
    """The view, if its layout has such a page."""
    count = len(served.layouts)
    if not count:
        raise NotFound(f"view {served.view.id} is a joined one: its samples are told whole, see /samples")
    if page >= count:
        raise NotFound(f"the layout of view {served.view.id} has {count} pages, counted from 0; there is no {page}")
    return served
