"""What `ropeway pack --check` opens: one file of each part, the first in the order of packing."""

from itertools import chain

from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.plan import Plan
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.shard import read_part


def unreadable(plan: Plan) -> list[str]:
    """What is wrong with the first file of each part, read as it would be packed; empty when nothing is."""
    problems: list[str] = []
    left = list(plan.recipe.parts)
    try:
        for sample in chain.from_iterable(shard.samples for shard in plan.shards):
            for part in [part for part in left if part in sample.files]:
                left.remove(part)
                try:
                    read_part(plan.recipe, plan.root, sample, part)
                except SampleError as error:
                    problems.append(str(error))
            if not left:
                break
    finally:
        close_all()
    return problems
