"""Numbers as words, as fields hold them."""

from collections.abc import Iterable, Sequence

import numpy as np

from ropeway.index import Value


def shortest(number: float) -> str:
    """A number in as few digits as tell it from all others: `3`, `0.5`."""
    return str(int(number)) if isinstance(number, int) else np.format_float_positional(number, trim="-")


def common(values: Sequence[float]) -> Value:
    """What all have in common; where they differ, all of them, joined by `;`."""
    return values[0] if len(set(values)) == 1 else ";".join(map(shortest, values))


def common_word(words: Iterable[str]) -> str:
    """What all have in common; where they differ, all of them, joined by `;`."""
    found = list(words)
    return found[0] if len(set(found)) == 1 else ";".join(found)
