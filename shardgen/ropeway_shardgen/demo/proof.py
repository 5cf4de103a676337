"""The exactly-once proof: from the keys that all ranks of all attempts logged, and nothing else."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the logs say.

    Attributes:
        delivered: samples given to training, over all epochs, that count: those a later resume did not take back.
        expected: samples of the view times epochs.
        duplicates: deliveries beyond the first of a sample in an epoch.
        missing: samples of the view that an epoch did not get.
        taken_back: deliveries after the last checkpoint before the kill; the model forgot them too.
    """

    delivered: int
    expected: int
    duplicates: int
    missing: int
    taken_back: int

    @property
    def exactly_once(self) -> bool:
        """Whether each sample was delivered exactly once per epoch."""
        return self.delivered == self.expected and not self.duplicates and not self.missing


def prove(attempts: Sequence[Sequence[Path]], resumed_at: Sequence[tuple[int, int]], keys: Sequence[str], epochs: int
          ) -> Verdict:  # fmt: skip
    """Check the logs of a job that was started several times.

    Args:
        attempts: for each start of the job, the logs of its ranks.
        resumed_at: for each later start, the (epoch, position) that it resumed at.
        keys: the keys of the view, from the service.
        epochs: how many the job was to train.
    """
    counts = [Counter[str]() for _ in range(epochs)]
    taken_back = 0
    for number, logs in enumerate(attempts):
        until = resumed_at[number] if number < len(resumed_at) else (epochs, 0)
        for log in logs:
            for line in log.read_text().splitlines():
                step = json.loads(line)
                if (step["epoch"], step["position"]) <= until:
                    counts[step["epoch"]].update(step["keys"])
                else:
                    taken_back += len(step["keys"])
    wanted = set(keys)
    return Verdict(
        delivered=sum(count.total() for count in counts),
        expected=len(keys) * epochs,
        duplicates=sum(count.total() - len(count) for count in counts),
        missing=sum(len(wanted - count.keys()) for count in counts),
        taken_back=taken_back,
    )
