"""What `ropeway pack` is asked for, and doing it: in a process apart, since raw files are read from the start."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from ropeway.stores import open_store
from ropeway_shardgen.apart import Apart
from ropeway_shardgen.attempts import attempts
from ropeway_shardgen.engine import Engine
from ropeway_shardgen.engines import chosen
from ropeway_shardgen.first_files import unreadable
from ropeway_shardgen.pack import Packed, pack_plan
from ropeway_shardgen.plan import Settings, inspect, make_plan
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.report import Bar
from ropeway_shardgen.slices import Slice, Unfinished, pack_slice, publish_slices

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packers:
    """Who packs; see `engines.chosen`."""

    engine: str
    workers: int
    scheduler: str
    cluster: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A raw folder, and how it is to be packed.

    Attributes:
        seconds: in which each raw file must have been read.
    """

    recipe: Recipe
    root: Path
    settings: Settings
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRequest(Request):
    """Where to, and by whom.

    Attributes:
        own: the slice that is packed; None: all.
        publish: pack nothing, publish what slices have packed.
        silent: no progress bar.
    """

    store: str
    packers: Packers
    own: Slice | None = None
    publish: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """What there is to be packed, or what is wrong with it."""

    problems: list[str]
    samples: int = 0
    files: int = 0
    shards: int = 0
    version: str = ""


def pack(request: PackRequest, apart: Apart) -> Packed | Unfinished:
    """Plan, pack and publish, in a process apart.

    Raises:
        SourceError: the raw data does not fit the recipe, or a file takes too long.
        StoreError: the store does not take it.
    """
    return _apart(_pack, request, apart)


def look(request: Request, apart: Apart) -> Looked:
    """Plan, and read a file of each part, in a process apart.

    Raises:
        SourceError: a file takes too long.
    """
    return _apart(_look, request, apart)


def _apart(function: Callable[..., T], request: Request, apart: Apart) -> T:
    return attempts(
        lambda limit: apart.call(limit, function, request, told=lambda: None),
        request.seconds,
        request.settings.on_error,
        request.recipe.id,
    )


def _pack(_tell: object, _given: None, request: PackRequest) -> Packed | Unfinished:
    store, settings = open_store(request.store), request.settings
    with Bar(Console(stderr=True, quiet=request.silent)) as bar:
        plan = make_plan(request.recipe, request.root, settings)
        if request.publish:
            return publish_slices(plan, store)
        engine = _engine(request)
        if request.own is not None:
            return pack_slice(plan, store, settings, request.own, engine=engine, watch=bar)
        return pack_plan(plan, store, settings, engine=engine, watch=bar)


def _engine(request: PackRequest) -> Engine:
    own = request.packers
    return chosen(own.engine, own.workers, own.scheduler, own.cluster, request.seconds)


def _look(_tell: object, _given: None, request: Request) -> Looked:
    problems = inspect(request.recipe, request.root, request.settings)
    if problems:
        return Looked(problems)
    plan = make_plan(request.recipe, request.root, request.settings)
    return Looked(unreadable(plan), plan.samples, plan.source_files, len(plan.shards), plan.version)
