"""The memory of a process and its children, watched from outside."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_EVERY = 0.3
"""Seconds between looks: each one walks the page tables."""


@dataclass(slots=True)
class Peak:
    """The most memory seen, in bytes. Pages that processes share count once (proportional set size).

    Attributes:
        resident: all of it.
        anonymous: without pages of files, which the system can take back at any time.
    """

    process: int
    resident: int = 0
    anonymous: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Peak":
        self._thread = threading.Thread(target=self._watch, name="bench-memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            try:
                root = psutil.Process(self.process)
                pids = [self.process, *(child.pid for child in root.children(recursive=True))]
            except psutil.NoSuchProcess:
                return
            seen = [_rollup(pid) for pid in pids]
            self.resident = max(self.resident, sum(resident for resident, _ in seen))
            self.anonymous = max(self.anonymous, sum(anonymous for _, anonymous in seen))


def _rollup(pid: int) -> tuple[int, int]:
    """A process's share of resident memory, and of that what is no page of a file."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (ProcessLookupError, FileNotFoundError):
        return 0, 0
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return kib.get("Pss", 0) << 10, (kib.get("Pss_Anon", 0) + kib.get("Pss_Shmem", 0)) << 10
