"""The order in which samples are counted: subject by subject.

Samples are packed in an order of chance, so the samples of one subject lie all over an index. In order of the subjects
those of one are met together: how many different ones a group has is found out within a small piece of memory, where a
table of all groups and all subjects took longer to be had than to be filled.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ropeway.samples import Ints

Numbers32 = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class BySubject:
    """The n rows of an index in order of their subjects, and of the rows where one has several.

    Attributes:
        place: int32 (n,), where each row comes in this order.
        subjects: int32 (m,), ascending: whose samples the first m are, places in `names`; the others have no subject.
        lengths: integers (n,), bytes of the samples in their shards, in this order.
        names: the subjects; perhaps more than there are.
    """

    place: Numbers32
    subjects: Numbers32
    lengths: npt.NDArray[np.integer]
    names: pa.StringArray

    def places(self, rows: Ints) -> Ints:
        """Where these different rows come, ascending."""
        there = np.zeros(len(self.place), np.bool_)
        there[self.place[rows].astype(np.intp)] = True
        return np.flatnonzero(there)

    def rows(self, places: Ints | None) -> Ints:
        """The rows that come there; None: everywhere."""
        found = np.empty(len(self.place), np.int64)
        found[self.place] = np.arange(len(found))
        return found if places is None else found[places]

    def subjects_of(self, places: Ints | None) -> Numbers32:
        """Whose samples come at ascending places, as `subjects` has them; None: everywhere."""
        if places is None:
            return self.subjects
        return self.subjects[places[: np.searchsorted(places, len(self.subjects))]]


def by_subject(rows: pa.Table) -> BySubject:
    """The order of index rows."""
    stored = rows.column("subject").combine_chunks()
    coded = stored if pa.types.is_dictionary(stored.type) else stored.dictionary_encode()
    codes = np.asarray(coded.indices.fill_null(len(coded.dictionary)), np.int32)
    order = _ascending(codes)
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    known = len(codes) - coded.null_count
    lengths = _small(rows.column("length").to_numpy())
    return BySubject(place, codes[order[:known]], lengths[order], coded.dictionary)


def _ascending(codes: Numbers32) -> Ints:
    """Where numbers from 0 are found in order, the first of equal ones first: NumPy sorts those of 16 bits by digits,
    which takes a quarter of the time."""
    order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    if len(codes) and codes.max() > 0xFFFF:
        order = order[np.argsort((codes >> 16).astype(np.uint16)[order], kind="stable")]
    return order


def _small(numbers: Ints) -> npt.NDArray[np.integer]:
    """The same numbers in as few bits as all of them need."""
    least, most = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    return numbers.astype(np.result_type(np.min_scalar_type(least), np.min_scalar_type(most)))
