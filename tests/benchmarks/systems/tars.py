"""Plain WebDataset tars, for the two rivals that read them."""

from pathlib import Path

from benchmarks.systems import SHARD_BYTES
from benchmarks.workloads import Workload

_FORMATS = {"array": "bin", "picture": "jpg", "text": "txt"}


def write(work: Workload, folder: Path) -> None:
    """One member per part, `key.part.format`, and one per label, `key.label.cls`."""
    import webdataset

    formats = {part.name: f"{part.name}.{_FORMATS[part.kind]}" for part in work.parts}
    pattern = str(folder / "train-%06d.tar")
    with webdataset.ShardWriter(pattern, maxsize=SHARD_BYTES, maxcount=1 << 30, verbose=0) as writer:
        for sample in work:
            contents = {formats[name]: content for name, content in sample.contents.items()}
            labels = {f"{name}.cls": str(label).encode() for name, label in sample.labels.items()}
            writer.write({"__key__": sample.key, **contents, **labels})


def names(work: Workload) -> dict[str, str]:
    """Member ending → part or label."""
    endings = {f"{part.name}.{_FORMATS[part.kind]}": part.name for part in work.parts}
    return endings | {f"{name}.cls": name for name in work.label_names}
