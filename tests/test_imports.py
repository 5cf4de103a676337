"""Who may import whom, and what must not be paid for by those who do not use it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("folder", "banned"),
    [("client", "ropeway_server"), ("client", "ropeway_shardgen"), ("server", "ropeway_shardgen"),
     ("shardgen", "ropeway_server")],
)  # fmt: skip
def test_arrows_go_one_way(folder: str, banned: str) -> None:
    """The lint rule fires on a violation: shardgen → ropeway ← server."""
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--select",
        "TID251",
        "--stdin-filename",
        f"{folder}/snippet.py",
        "-",
    ]
    checked = subprocess.run(command, cwd=ROOT, input=f"import {banned}\n", capture_output=True, text=True, check=False)
    assert checked.returncode == 1
    assert "TID251" in checked.stdout


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("ropeway", ("torch", "boto3", "duckdb", "numpy")),
        ("ropeway.cli", ("torch", "boto3", "fastapi", "duckdb", "pyarrow", "numpy")),
        ("ropeway_server.app", ("torch", "pydicom", "h5py")),
        ("ropeway_shardgen.pack", ("torch", "fastapi", "pydicom", "h5py", "nibabel", "pyedflib")),
    ],
)
def test_imports_stay_light(module: str, absent: tuple[str, ...]) -> None:
    script = f"import {module}, sys; print(*[name for name in {absent!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_without_torch_the_loader_says_what_to_install() -> None:
    script = "import sys; sys.modules['torch'] = None; import ropeway; ropeway.StreamingLoader"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ImportError: ropeway.StreamingLoader needs torch: pip install 'ropeway[torch]'" in found.stderr
