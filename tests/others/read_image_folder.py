"""Reads a folder of pictures with torchvision's own ImageFolder: its classes, and per picture file, class and sha256.

torchvision comes as a CUDA build only; its C++ library does not load beside a torch for CPUs, and then its import
misses two operators, which no data set uses: they are declared here.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch


def main(root: str) -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    if not torch.cuda.is_available():
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    from torchvision.datasets import ImageFolder

    folder = ImageFolder(root)
    pictures = {
        str(Path(path).relative_to(root)): [label, hashlib.sha256(np.asarray(picture).tobytes()).hexdigest()]
        for (path, _), (picture, label) in zip(folder.samples, folder, strict=True)
    }
    sys.stdout.write(json.dumps({"classes": folder.classes, "pictures": pictures}))


if __name__ == "__main__":
    main(sys.argv[1])
