"""Whether torch gets at the GPUs of this host: what was found, and from that alone, what is wrong."""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from ropeway.doctor.finding import Finding

PINNED = 2e9
"""Bytes per second of copies from pinned memory, at least: PCIe 3 with 16 lanes gives 12e9, with 4 lanes 3e9."""

FREE = 2 << 30
"""Bytes of a GPU below which a model and its batches hardly fit."""

_COPIED = 64 << 20
_VERSION = re.compile(r"\b(\d{3}\.\d+(?:\.\d+)?)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One GPU as torch sees it: its name, its free and all of its memory in bytes, and bytes per second of copies."""

    name: str
    free: int
    memory: int
    copied: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is of GPUs on a host.

    Attributes:
        torch: its version; None where it is not installed.
        cuda: the CUDA that torch was built for; None in a build for CPUs.
        nodes: devices `/dev/nvidia<n>`, or what a container was given of them.
        driver: version of the kernel's driver; None where it is not loaded.
        problem: what torch said when it looked for GPUs; empty where it found them, or was built without CUDA.
        devices: GPUs that torch can use.
    """

    torch: str | None = None
    cuda: str | None = None
    nodes: int = 0
    driver: str | None = None
    problem: str = ""
    devices: tuple[Device, ...] = ()


def look(proc: Path = Path("/proc/driver/nvidia"), dev: Path = Path("/dev")) -> Found:
    """What this host has.

    The driver is as the kernel's module says in `/proc/driver/nvidia/version`, devices are the nodes below `/dev`, the
    rest is from torch: `torch.version.cuda`, the error of `torch.cuda.init`, `get_device_name` and `mem_get_info`. The
    speed of copies is measured with 64 MiB of pinned memory.
    """
    nodes = sum(path.name.removeprefix("nvidia").isdecimal() for path in dev.glob("nvidia*"))
    told = _VERSION.search((proc / "version").read_text()) if (proc / "version").is_file() else None
    driver = told[1] if told else None
    if importlib.util.find_spec("torch") is None:
        return Found(nodes=nodes, driver=driver)
    import torch

    problem, devices = "", list[Device]()
    if torch.version.cuda is not None:
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            devices = [_device(number) for number in range(torch.cuda.device_count())]
        except (RuntimeError, AssertionError) as error:  # torch raises both: no driver, too old a one, no memory
            problem = str(error).splitlines()[0]
    return Found(torch=str(torch.__version__), cuda=torch.version.cuda, nodes=nodes, driver=driver, problem=problem,
                 devices=tuple(devices))  # fmt: skip


def _device(number: int) -> Device:
    import torch

    free, memory = torch.cuda.mem_get_info(number)
    host = torch.empty(_COPIED, dtype=torch.uint8, pin_memory=True)
    there = torch.empty_like(host, device=f"cuda:{number}")
    seconds = []
    for _ in range(3):  # the first one makes the context
        torch.cuda.synchronize(number)
        begun = perf_counter()
        there.copy_(host, non_blocking=True)
        torch.cuda.synchronize(number)
        seconds.append(perf_counter() - begun)
    return Device(
        name=torch.cuda.get_device_name(number), free=free, memory=memory, copied=_COPIED / max(min(seconds), 1e-9)
    )


def judged(found: Found) -> Finding:
    """What is wrong with what was found, and what to change."""
    if found.torch is None:
        return Finding("GPU", "unknown", "torch is not installed", "for tensors: pip install 'ropeway[torch]'")
    if found.devices:
        return _usable(found)
    if found.driver is None and not found.nodes:
        return Finding("GPU", "good", "none; tensors stay on the host")
    told, advice = _in_the_way(found)
    return Finding("GPU", "bad", f"torch {found.torch} {told}", advice)


def _in_the_way(found: Found) -> tuple[str, str]:
    """Why torch uses no GPU where there is one, or its driver; and what to change."""
    there = f"driver {found.driver}" if found.driver else f"{found.nodes} devices below /dev"
    if found.cuda is None:
        fits = "install the torch build that fits the driver (nvidia-smi tells its CUDA version)"
        return f"was built without CUDA, beside {there}", fits
    wants = f"wants CUDA {found.cuda}"
    if found.driver is None:
        return f"{wants}; {there}, without the kernel's driver", "load it (modprobe nvidia)"
    if "too old" in found.problem:
        older = "upgrade the driver, or install a torch that was built for an older CUDA"
        return f"{wants}, for which {there} is too old", older
    if not found.nodes:
        given = "start the container with --gpus all, or have nvidia-modprobe make the devices"
        return f"{wants}; {there}, without a device below /dev", given
    said = found.problem or "it does not say why"
    return f"{wants} and finds no GPU by {there}: {said}", "look at CUDA_VISIBLE_DEVICES, and at nvidia-smi"


def _usable(found: Found) -> Finding:
    each = ", ".join(f"{one.name} ({one.free / 1e9:.0f} of {one.memory / 1e9:.0f} GB free, copies "
                     f"{one.copied / 1e9:.1f} GB/s)" for one in found.devices)  # fmt: skip
    told = f"{each}; torch {found.torch}"
    if any(one.free < FREE for one in found.devices):
        return Finding("GPU", "slow", told, "somebody else's process holds the memory: nvidia-smi tells whose")
    if any(one.copied < PINNED for one in found.devices):
        return Finding(
            "GPU", "slow", told, "the link is narrow: look at its width (nvidia-smi -q, PCI), or another slot"
        )
    return Finding("GPU", "good", told)
