"""Who asks; and for admins: tokens, groups and grants."""

from dataclasses import asdict, dataclass, replace
from typing import Annotated, ClassVar

from fastapi import APIRouter, Path, Request, Response
from pydantic import ConfigDict

from ropeway_server.answers import answer
from ropeway_server.asking import AdminDep, ReaderDep, ServiceDep
from ropeway_server.grants import Grant, NewGrant, note_on
from ropeway_server.schemas import Flag, Status
from ropeway_server.times import Moment, to_come
from ropeway_server.tokens import TokenInfo

router = APIRouter(prefix="/v1", tags=["identity"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who asks, and what they hold.

    Attributes:
        name: `anonymous` for somebody without a token.
        only: datasets that the token is limited to; null for no such limit.
    """

    name: str
    admin: bool
    groups: tuple[str, ...]
    only: tuple[str, ...] | None
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token to be made.

    Attributes:
        name: of its principal.
        admin: whether it may do everything.
        datasets: that it is limited to; null for no such limit.
        expires: when it ends; null for never.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")  # a misspelt `expires` would make a token for ever

    name: str
    admin: Flag = False
    datasets: tuple[str, ...] | None = None
    expires: Moment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeToken:
    """A new token. Its text is told this once, and not kept."""

    token: str
    info: TokenInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenGrant(Grant):
    """A new right, and what there is to note: that no such dataset is in the store yet."""

    note: str | None = None


@router.get("/me", response_model=Me, summary="Who asks")
def me(request: Request, reader: ReaderDep) -> Response:
    """By what name the service knows you, and what you hold."""
    who, grants = reader.principal, reader.rights.grants
    only = None if who.only is None else tuple(sorted(who.only))
    found = Me(name=who.shown, admin=who.admin, groups=tuple(sorted(who.groups)), only=only, grants=tuple(grants))
    return answer(request, found, {"Cache-Control": "no-store"})


@router.get("/tokens", response_model=list[TokenInfo], summary="All tokens, without their secrets")
def tokens(request: Request, service: ServiceDep, _: AdminDep) -> Response:
    """For admins. Those that hold no more are listed too."""
    return answer(request, service.tokens.listed(), {"Cache-Control": "no-store"})


@router.post("/tokens", response_model=MadeToken, status_code=201, summary="A new token")
def create_token(request: Request, service: ServiceDep, admin: AdminDep, asked: NewToken) -> Response:
    """For admins. The token is in the answer, and nowhere else afterwards."""
    end = asked.expires and to_come(asked.expires)
    info, text = service.tokens.create(asked.name, by=admin, admin=asked.admin, datasets=asked.datasets, expires=end)
    answered = answer(request, MadeToken(token=text, info=info), {"Cache-Control": "no-store"})
    answered.status_code = 201
    return answered


@router.delete("/tokens/{token_id}", response_model=Status, summary="End a token")
def revoke_token(token_id: str, request: Request, service: ServiceDep, admin: AdminDep) -> Response:
    """For admins. It holds no more from the next request on."""
    service.tokens.revoke(token_id, by=admin)
    return answer(request, Status(status="done"))


@router.get("/groups", response_model=dict[str, list[str]], summary="All groups and who is in them")
def groups(request: Request, service: ServiceDep, _: AdminDep) -> Response:
    """For admins. Groups that the OIDC issuer tells of are not listed."""
    return answer(request, service.groups.listed())


@router.put("/groups/{group}/{principal}", response_model=Status, summary="Put somebody into a group")
def join_group(group: str, principal: str, request: Request, service: ServiceDep, admin: AdminDep) -> Response:
    """For admins. Groups are there as long as somebody is in them."""
    service.groups.add(group, principal, by=admin)
    return answer(request, Status(status="done"))


@router.delete("/groups/{group}/{principal}", response_model=Status, summary="Take somebody out of a group")
def leave_group(group: str, principal: str, request: Request, service: ServiceDep, admin: AdminDep) -> Response:
    """For admins."""
    service.groups.remove(group, principal, by=admin)
    return answer(request, Status(status="done"))


@router.get("/grants", response_model=list[Grant], summary="All grants")
def grants(request: Request, service: ServiceDep, _: AdminDep) -> Response:
    """For admins. Those that hold no more are listed too."""
    return answer(request, service.grants.listed())


@router.post("/grants", response_model=GivenGrant, status_code=201, summary="Give a right")
def add_grant(request: Request, service: ServiceDep, admin: AdminDep, asked: NewGrant) -> Response:
    """For admins. To read (or only count) a dataset, there already or not, or all of a tier, by a signed agreement."""
    ending = replace(asked, expires=asked.expires and to_come(asked.expires))
    note = note_on(ending, service.catalog)
    answered = answer(request, GivenGrant(**asdict(service.grants.add(ending, by=admin)), note=note))
    answered.status_code = 201
    return answered


@router.delete("/grants/{number}", response_model=Status, summary="End a right")
def revoke_grant(
    number: Annotated[int, Path(ge=1, le=(1 << 31) - 1)], request: Request, service: ServiceDep, admin: AdminDep
) -> Response:
    """For admins. It holds no more from the next request on; URLs given before last until they end."""
    service.grants.revoke(number, by=admin)
    return answer(request, Status(status="done"))
