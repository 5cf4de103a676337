"""What a view's licences say together, and accepting that."""

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request, Response

from ropeway.licences import Licence
from ropeway_server.answers import answer
from ropeway_server.asking import ReaderDep

router = APIRouter(prefix="/v1/views", tags=["licences"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewLicence:
    """A view's licence.

    Attributes:
        needed: whether it has to be accepted before samples are given.
        accepted: when you did; null where you have not.
    """

    licence: Licence
    needed: bool
    accepted: datetime | None


@router.get("/{view_id}/licence", response_model=ViewLicence, summary="What a view's licences say together")
def get_licence(view_id: str, request: Request, reader: ReaderDep) -> Response:
    """Each dataset's licence, the terms of all together, and those that contradict each other."""
    licence, accepted = reader.licence(view_id)
    return answer(request, ViewLicence(licence=licence, needed=bool(licence.terms), accepted=accepted))


@router.post("/{view_id}/licence", response_model=ViewLicence, summary="Accept a view's licence")
def accept_licence(view_id: str, request: Request, reader: ReaderDep) -> Response:
    """Once per view and principal; the audit keeps who and when."""
    licence, accepted = reader.accept(view_id)
    return answer(request, ViewLicence(licence=licence, needed=bool(licence.terms), accepted=accepted))
