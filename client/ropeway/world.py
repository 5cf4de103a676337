"""Which process this is, of how many: asked once, at the edge."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ropeway.errors import UsageError

_LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),  # torchrun
    ("SLURM_PROCID", "SLURM_NTASKS"),  # srun
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
)


@dataclass(frozen=True, slots=True)
class World:
    """A rank and the number of ranks.

    Raises:
        UsageError: the rank is not one of that many.
    """

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise UsageError(f"rank {self.rank} is not one of a world of {self.size} (ranks count from 0)")


def detect(environment: Mapping[str, str] = os.environ) -> World:
    """The world this process is in: torch.distributed when it is initialised, else the launcher's variables, else one.

    Slurm's variables count only inside `srun` (where SLURM_STEP_ID is set): a batch script's own shell has them too.
    """
    torch = sys.modules.get("torch.distributed")
    if torch is not None and torch.is_available() and torch.is_initialized():
        return World(torch.get_rank(), torch.get_world_size())
    for rank, size in _LAUNCHERS:
        if rank in environment and size in environment and (rank != "SLURM_PROCID" or "SLURM_STEP_ID" in environment):
            try:
                return World(int(environment[rank]), int(environment[size]))
            except ValueError as error:
                raise UsageError(f"{rank} and {size} are not whole numbers: set rank= and world_size=") from error
    return World()
