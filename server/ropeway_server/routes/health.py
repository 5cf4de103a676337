"""Is it alive, can it serve, what did it do?"""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from ropeway.errors import ServiceError
from ropeway_server.answers import answer
from ropeway_server.asking import ServiceDep
from ropeway_server.schemas import Status

router = APIRouter(tags=["operation"])


@router.get("/healthz", response_model=Status, summary="The process answers")
def healthz(request: Request) -> Response:
    """200 as long as the process runs."""
    return answer(request, Status(status="ok"))


@router.get("/readyz", response_model=Status, summary="Store and database answer")
def readyz(request: Request, service: ServiceDep) -> Response:
    """200 when requests can be served, else a problem that says what is missing, or that the service is ending."""
    if request.app.state.draining:
        raise ServiceError("the service is ending: ask another replica")
    service.readiness.check()
    return answer(request, Status(status="ready"))


@router.get("/metrics", summary="Counters for Prometheus", response_class=PlainTextResponse)
def metrics(service: ServiceDep) -> Response:
    """Prometheus' text format."""
    return service.metrics.expose()
