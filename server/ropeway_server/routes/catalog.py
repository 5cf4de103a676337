"""What there is: datasets, tasks, counts."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ropeway.catalog import DatasetInfo, TaskInfo
from ropeway.manifest import Manifest
from ropeway_server.answers import answer
from ropeway_server.service import ServiceDep

router = APIRouter(prefix="/v1", tags=["catalog"])


@router.get("/datasets", response_model=list[DatasetInfo], summary="All datasets in their current versions")
def datasets(request: Request, service: ServiceDep) -> Response:
    """One line about each dataset, by id."""
    return answer(request, service.catalog.datasets())


@router.get("/datasets/{dataset}", response_model=Manifest, summary="A dataset's manifest")
def dataset_manifest(dataset: str, request: Request, service: ServiceDep, version: str | None = None) -> Response:
    """Everything about one version: parts, tasks, splits, shards, provenance."""
    return answer(request, service.catalog.manifest(dataset, version))


@router.get("/tasks", response_model=list[TaskInfo], summary="All tasks, and the datasets that have them")
def tasks(request: Request, service: ServiceDep) -> Response:
    """Every task by id, with its classes."""
    return answer(request, service.catalog.tasks())


@router.get("/stats", summary="Counts by any columns")
def stats(
    request: Request,
    service: ServiceDep,
    by: Annotated[
        list[str], Query(description="Columns to group by; may be repeated.", examples=[["domain", "split"]])
    ],
    task: str | None = None,
    split: str | None = None,
    where: Annotated[str | None, Query(description="A filter expression.", examples=["age >= 60"])] = None,
    dataset: Annotated[list[str] | None, Query(description="Only these datasets; may be repeated.")] = None,
) -> Response:
    """Samples, bytes and subjects for each combination of the columns."""
    return answer(request, service.catalog.stats(by, task=task, split=split, where=where, datasets=dataset))
