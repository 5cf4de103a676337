"""The audit, for admins."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ropeway_server import times
from ropeway_server.answers import answer
from ropeway_server.asking import AdminDep, ServiceDep
from ropeway_server.audit import Logged
from ropeway_server.exposure import Exposure, exposures
from ropeway_server.times import Moment

router = APIRouter(prefix="/v1/audit", tags=["audit"])

MOST = 10_000
"""Events in one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A log whose chain of digests holds.

    Attributes:
        events: how many there are.
        head: digest of the last one: keep it elsewhere, and give it next time.
    """

    events: int
    head: str | None


@router.get("", response_model=list[Logged], summary="What was done")
def events(
    request: Request,
    service: ServiceDep,
    _: AdminDep,
    dataset: str | None = None,
    view: str | None = None,
    since: Annotated[Moment | None, Query(description="Only events from then on.")] = None,
    after: Annotated[int, Query(description="Only events after this number.", ge=0, lt=1 << 31)] = 0,
) -> Response:
    """For admins: events in the order they were logged, up to 10,000; ask again `after` the last one's number."""
    begin = "" if since is None else times.in_utc(since).isoformat(timespec="milliseconds")
    found = []
    for logged in service.audit.events(dataset=dataset, since=begin, view=view, after=after):
        found.append(logged)
        if len(found) == MOST:
            break
    return answer(request, found, {"Cache-Control": "no-store"})


@router.get("/check", response_model=Checked, summary="Was the audit tampered with?")
def check(
    request: Request,
    service: ServiceDep,
    _: AdminDep,
    head: Annotated[str | None, Query(description="A digest that was the last one before; it must be there.")] = None,
) -> Response:
    """For admins: recomputes every digest. A problem says where the log is not what was logged."""
    last = service.audit.check(head)
    return answer(request, Checked(events=last.number if last else 0, head=last.digest if last else None))


@router.get("/subjects/{dataset}/{subject:path}", response_model=list[Exposure], summary="Which views saw a subject")
def subject(dataset: str, subject: str, request: Request, service: ServiceDep, _: AdminDep) -> Response:
    """For admins: who got views, shards or samples that hold one person's data, and when first and last."""
    found = exposures(service.audit, service.catalog, service.views, dataset, subject)
    return answer(request, found, {"Cache-Control": "no-store"})
