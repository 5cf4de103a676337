"""What there is: datasets, tasks, counts."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ropeway.described import DatasetInfo, TaskInfo
from ropeway.manifest import Manifest
from ropeway.query import Query as Asked
from ropeway.query import Scalar
from ropeway_server.answers import answer
from ropeway_server.asking import ReaderDep

router = APIRouter(prefix="/v1", tags=["catalog"])


@router.get("/datasets", response_model=list[DatasetInfo], summary="All datasets in their current versions")
def datasets(request: Request, reader: ReaderDep) -> Response:
    """One line about each dataset that you may read, by id; or may count, then not exactly."""
    return answer(request, reader.datasets())


@router.get("/datasets/{dataset}", response_model=Manifest, summary="A dataset's manifest")
def dataset_manifest(dataset: str, request: Request, reader: ReaderDep, version: str | None = None) -> Response:
    """Everything about one version: parts, tasks, splits, shards, provenance."""
    return answer(request, reader.manifest(dataset, version))


@router.get("/tasks", response_model=list[TaskInfo], summary="All tasks, and the datasets that have them")
def tasks(request: Request, reader: ReaderDep) -> Response:
    """Every task by id, with its classes."""
    return answer(request, reader.tasks())


@router.get("/stats", response_model=list[dict[str, Scalar | None]], summary="Counts by any columns")
def stats(
    request: Request,
    reader: ReaderDep,
    by: Annotated[
        list[str] | None,
        Query(description="Columns to group by; may be repeated; none for totals."),
    ] = None,
    task: str | None = None,
    split: str | None = None,
    where: Annotated[str | None, Query(description="A filter expression.")] = None,
    dataset: Annotated[list[str] | None, Query(description="Only these datasets; may be repeated.")] = None,
) -> Response:
    """Samples, bytes and subjects for each combination of the columns.

    Of datasets that you may count and not read, cells of fewer than 11 are left out, and the rest is moved by up to 5
    and rounded to tens: the same for the same people, however they are asked for; totals need not be the sum of their
    parts. Then `bytes` is null.
    """
    asked = Asked(task=task, split=split, where=where, datasets=None if dataset is None else tuple(dataset))
    return answer(request, reader.stats(by or [], asked))
