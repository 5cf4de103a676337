"""Views pin dataset versions: whether subjects were withdrawn since, so that a view is not given any more."""

from collections.abc import Callable, Iterable, Mapping

from ropeway.errors import Withdrawn
from ropeway.manifest import Latest, Manifest

_ANEW = "ask its query again, of the current versions"


def check_not_withdrawn(pinned: Iterable[Manifest], current: Iterable[Manifest]) -> None:
    """Raise Withdrawn when a pinned version is from before a withdrawal.

    Args:
        pinned: the versions of a view.
        current: those of all datasets there are.
    """
    now = {manifest.dataset: manifest for manifest in current}
    for manifest in pinned:
        later = now.get(manifest.dataset)
        if later is not None and later.withdrawn_subjects > manifest.withdrawn_subjects:
            raise Withdrawn(f"the view has samples of version {manifest.version}, which was before subjects were "
                            f"withdrawn: {_ANEW}", dataset=manifest.dataset)  # fmt: skip


def check_not_erased(versions: Mapping[str, str], latest: Callable[[str], Latest]) -> None:
    """Raise Withdrawn when a pinned version was erased, with whoever was withdrawn.

    Args:
        versions: dataset id → version.
        latest: gives what there is of a dataset.
    """
    for dataset, version in versions.items():
        if version in latest(dataset).erased:
            raise Withdrawn(f"the view was made over version {version}, which was erased because subjects were "
                            f"withdrawn: {_ANEW}", dataset=dataset)  # fmt: skip
