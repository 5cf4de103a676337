"""How decoders use other libraries: imported when first needed, and their errors made ValueError."""

import importlib
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ropeway.errors import UsageError

_DAMAGE: tuple[type[Exception], ...] = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RuntimeError, SyntaxError, TypeError,
    struct.error, zlib.error,
)  # fmt: skip
"""What libraries raise on content they did not expect. Sizes come from the content, so MemoryError is among them."""


def require(module: str, extra: str) -> Any:
    """Import a module that an extra brings.

    Raises:
        UsageError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'ropeway[{extra}]'") from error


@contextmanager
def damage(*kinds: type[Exception]) -> Iterator[None]:
    """Within, whatever a library raises on damaged content becomes ValueError; its own `kinds` of errors too."""
    others: tuple[type[Exception], ...] = (*_DAMAGE, *kinds)
    try:
        yield
    except others as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
