"""What the doctor says of GPUs, in each case that there is; and that it looks at this host without failing."""

from functools import partial
from pathlib import Path

import pytest

from ropeway.doctor.gpu import Device, Found, judged, look

GOOD = Device(name="NVIDIA H100", free=70 << 30, memory=80 << 30, copied=20e9)
CPU, CUDA = partial(Found, torch="2.13.0+cpu"), partial(Found, torch="2.13.0", cuda="13.0")
OLD = "The NVIDIA driver on your system is too old (found version 11040)."


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
    [
        (Found(nodes=1, driver="580.65.06"), "unknown", "torch is not installed"),
        (CPU(), "good", "none; tensors stay on the host"),
        (CPU(nodes=1, driver="580.65.06"), "bad", "was built without CUDA, beside driver 580.65.06"),
        (CPU(nodes=2), "bad", "was built without CUDA, beside 2 devices"),
        (CUDA(), "good", "none; tensors stay on the host"),
        (CUDA(nodes=1), "bad", "without the kernel's driver"),
        (CUDA(driver="580.65.06"), "bad", "without a device below /dev"),
        (CUDA(nodes=1, driver="470.82", problem=OLD), "bad", "CUDA 13.0, for which driver 470.82 is too old"),
        (
            CUDA(nodes=1, driver="580.65.06", problem="out of memory"),
            "bad",
            "by driver 580.65.06: out of memory",
        ),
        (CUDA(nodes=1, driver="580.65.06"), "bad", "it does not say why"),
    ],
)
def test_each_case_of_no_usable_gpu(found: Found, verdict: str, words: str) -> None:
    told = judged(found)
    assert (told.name, told.verdict) == ("GPU", verdict)
    assert words in told.found
    assert bool(told.advice) == (verdict != "good")


@pytest.mark.parametrize(
    ("device", "verdict", "advice"),
    [
        (GOOD, "good", ""),
        (Device(name="NVIDIA H100", free=1 << 30, memory=80 << 30, copied=20e9), "slow", "holds the memory"),
        (Device(name="NVIDIA T4", free=15 << 30, memory=16 << 30, copied=0.8e9), "slow", "the link is narrow"),
    ],
)
def test_a_gpu_that_can_be_used(device: Device, verdict: str, advice: str) -> None:
    told = judged(Found(torch="2.13.0", cuda="13.0", nodes=1, driver="580.65.06", devices=(device,)))
    assert told.verdict == verdict
    assert advice in told.advice
    assert device.name in told.found


def test_the_driver_and_the_devices_are_read_from_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (builder@host)\n"
        "GCC version:  gcc version 12.3.0\n"
    )
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    found = look(tmp_path, tmp_path)
    assert (found.driver, found.nodes) == ("580.65.06", 2)
    bare = look(tmp_path / "none", tmp_path / "none")
    assert (bare.driver, bare.nodes) == (None, 0)
