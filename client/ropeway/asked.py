"""What a loader is asked for: the arguments that all loaders take, declared once."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

from ropeway.bad import OnBad
from ropeway.cache import DiskCache
from ropeway.collate import Collate
from ropeway.cuts import Rule
from ropeway.decode import Decode, Decoder
from ropeway.mixing import Mix
from ropeway.model_ready import form
from ropeway.order import Order
from ropeway.readings import Reading
from ropeway.steps import Tail
from ropeway.view import View
from ropeway.wanted import MEMORY, Wanted


@dataclass(eq=False, repr=False)
class Asked:
    """The arguments of every loader and their defaults; `StreamingLoader` says what each is for.

    They are settled when the loader is made, and can be read from it afterwards.
    """

    view: View | Mix
    batch_size: int | Rule | None = None
    _: KW_ONLY
    global_batch_size: int | None = None
    seed: int = 0
    parts: Sequence[str] | Mapping[str, Reading | str] | None = None
    order: Order | None = None
    tail: Tail = "drop"
    on_bad: OnBad = "raise"
    rank: int | None = None
    world_size: int | None = None
    decoders: Mapping[str, Decoder | Decode] | None = None
    ragged: Mapping[str, Collate] | None = None
    memory: int = MEMORY
    requests: int | None = None
    request_bytes: int | None = None
    cache: DiskCache | None = None

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__dataclass_fields__ and name in self.__dict__:
            raise AttributeError(f"{name} was settled when this {type(self).__name__} was made: make another one")
        super().__setattr__(name, value)

    def _wanted(self, threads: int) -> Wanted:
        """What of the samples is wanted, and the means to get it.

        Raises:
            UsageError: a reading is named that there is none of, or a limit is below what anything could be done with.
        """
        named = self.parts if isinstance(self.parts, Mapping) else {}
        return Wanted(
            parts=None if self.parts is None else tuple(self.parts),
            readings={part: form(one) if isinstance(one, str) else one for part, one in named.items()},
            decoders=self.decoders or {},
            collate=self.ragged or {},
            threads=threads,
            memory=self.memory,
            requests=self.requests,
            request_bytes=self.request_bytes,
            cache=self.cache,
        )
