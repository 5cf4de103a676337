"""Where tensors go. What needs a GPU runs where there is one."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import packed
import ropeway
from ropeway import nvjpeg
from ropeway.errors import UsageError
from ropeway.stores import open_store
from ropeway.view import View

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@pytest.fixture
def view(tmp_path: Path) -> View:
    packed.publish(open_store(tmp_path), samples=400, lacks=[5])
    return ropeway.connect(str(tmp_path)).query()


def jpeg(mode: str, size: tuple[int, int] = (24, 16)) -> memoryview:
    file = io.BytesIO()
    Image.new(mode, size, 77 if mode == "L" else (10, 200, 30)).save(file, "jpeg", quality=95)
    return memoryview(file.getvalue())


def test_a_device_that_torch_copies_to_by_itself(view: View) -> None:
    for device in ("cpu", torch.device("meta")):
        batch = next(iter(ropeway.StreamingLoader(view, 10, device=device)))
        assert batch["x"].device.type == batch["task.cls"].device.type == str(device)
        assert batch["__present__"]["note"].device.type == str(device)
        assert len(batch["__key__"]) == len(batch["note"]) == 10


def test_jpegs_left_to_a_gpu_that_is_not_used_are_an_error(view: View) -> None:
    encoded = nvjpeg.on_gpu.decode(jpeg("RGB"))
    loader = ropeway.StreamingLoader(view, 10, decoders={"txt": lambda _: encoded})
    with pytest.raises(UsageError, match="give device='cuda'"):
        next(iter(loader))


@pytest.mark.parametrize(
    ("device", "says"),
    [("nope", "torch knows no device 'nope'"), ("cuda:99", "no GPU for device='cuda:99': torch finds [0-9]+ here")],
)
def test_a_device_that_is_not_there_is_told_before_anything_is_read(view: View, device: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ropeway.StreamingLoader(view, 10, device=device)


@cuda
@pytest.mark.parametrize("busy", [False, True])
def test_batches_on_a_gpu_are_those_of_the_host(view: View, busy: bool) -> None:
    host = list(ropeway.StreamingLoader(view, 8))
    work = torch.randn(2048, 2048, device="cuda")
    for expected, batch in zip(host, ropeway.StreamingLoader(view, 8, device="cuda", memory=1 << 20), strict=True):
        if busy:  # the device lags behind: buffers must not be used again before they were copied
            for _ in range(20):
                work = work @ work / 2048
        assert batch["x"].device.type == "cuda"
        assert torch.equal(batch["x"].cpu(), expected["x"])
        assert torch.equal(batch["task.cls"].cpu(), expected["task.cls"])
        assert batch["__key__"] == expected["__key__"]


@cuda
def test_batches_are_made_in_pinned_memory() -> None:
    from ropeway.device import target

    buffer = target("cuda").pool(1 << 20).take(5000)
    assert torch.from_numpy(buffer).is_pinned()


@cuda
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpegs_are_decoded_on_a_gpu(mode: str) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    content = jpeg(mode)
    images = nvjpeg.decoded([nvjpeg.on_gpu.decode(content)] * 3, torch.device("cuda"))
    expected = np.asarray(Image.open(io.BytesIO(content)))
    assert images.shape == (3, *expected.shape)
    assert np.abs(images[1].cpu().numpy().astype(int) - expected).max() <= 4  # IDCTs differ by rounding
    mixed = nvjpeg.decoded([nvjpeg.on_gpu.decode(content), None], torch.device("cuda"))
    assert mixed[1] is None
