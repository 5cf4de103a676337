"""HDF5 files can name other files, whose content then stands in a variable: nothing of such files is read."""

from typing import Any


def check_inside(node: Any, file: Any) -> None:
    """Refuse a dataset (or group) that lies in another file, by a link, as external storage, or as a virtual dataset.

    Args:
        node: as h5py found it.
        file: the h5py file in which it was looked for.

    Raises:
        ValueError: it does.
    """
    elsewhere = node.file.filename != file.filename
    if elsewhere or (hasattr(node, "dtype") and (node.external or node.is_virtual)):
        raise ValueError("something in the file is a link into another file, which is not read")
