"""Options that several commands have, and the headings of the help."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ropeway.cache import DiskCache

_store = partial(typer.Option, "--store", "-s", envvar="ROPEWAY_STORE", metavar="URL", show_default=False)
_ANY = "Where the datasets are: a path, s3://bucket/prefix, or an index service http://host:8080."

Store = Annotated[str, _store(help=_ANY)]
StoreIfAny = Annotated[str | None, _store(help=_ANY)]
OwnStore = Annotated[str, _store(help="The store itself, not a service: a path, s3://bucket/prefix, gs:// or az://.")]

_view = partial(typer.Argument, metavar="VIEW", help="A view's name or id.")
View = Annotated[str, _view()]
ViewIfAny = Annotated[str | None, _view()]
Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's id.")]

Task = Annotated[str | None, typer.Option(metavar="TASK", help="Only samples labelled for this task.")]
Split = Annotated[str | None, typer.Option(metavar="SPLIT", help="Only samples of this split: train, valid or test.")]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="FILTER", help="Only samples that meet it, such as \"age >= 60 and label in ('MI', 'STTC')\"."
    ),
]
Datasets = Annotated[
    list[str] | None, typer.Option("--dataset", metavar="DATASET", help="Only these datasets (may be repeated).")
]
Domain = Annotated[str | None, typer.Option(metavar="DOMAIN", help="Only datasets of this domain, such as ECG.")]
Modality = Annotated[
    str | None, typer.Option(metavar="MODALITY", help="Only datasets with this modality, such as image.")
]
Parts = Annotated[
    list[str] | None, typer.Option("--part", metavar="PART", help="Only samples with this part (may be repeated).")
]
Distinct = Annotated[bool, typer.Option("--distinct", help="Of samples with equal content only the first.")]

BatchSize = Annotated[int, typer.Option(metavar="N", min=1, help="Samples per step.")]
Memory = Annotated[int, typer.Option(metavar="MIB", min=1, help="Memory that the loader may hold.")]

_CACHE_GIB = 100
Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Keep what is fetched in a disk cache in this folder.")]
CacheLimit = Annotated[
    int | None,
    typer.Option(metavar="GIB", min=1, help=f"Space that the disk cache may fill; by default {_CACHE_GIB}."),
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]

EXPLORE, STREAM, STEWARD, OPERATE = (
    "Analysts: see what there is",
    "Researchers: train",
    "Stewards: pack and check",
    "Operators: serve and watch",
)
"""Headings of the help, by user."""


def disk_cache(folder: Path | None, limit: int | None) -> "DiskCache | None":
    """The cache that `Cache` and `CacheLimit` ask for.

    Raises:
        UsageError: a limit is given, and no folder.
    """
    if folder is None:
        if limit is not None:
            from ropeway.errors import UsageError

            raise UsageError("--cache-limit says nothing without --cache: add --cache DIR, or leave it out")
        return None
    from ropeway.cache import DiskCache

    return DiskCache(folder, limit=(limit or _CACHE_GIB) << 30)
