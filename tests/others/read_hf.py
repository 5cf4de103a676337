"""Streams shards with HF datasets' own webdataset builder: key → (sum of `x.npy`, text of `note.txt`), as JSON."""

import json
import sys

import datasets
import numpy as np


def main(urls: list[str]) -> None:
    stream = datasets.load_dataset("webdataset", data_files={"train": urls}, split="train", streaming=True)
    found = {row["__key__"]: [int(np.asarray(row["x.npy"]).sum()), row["note.txt"]] for row in stream}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
