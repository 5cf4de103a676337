"""deploy/mount: the manifest against Kubernetes' own schemas, the README's commands against the real command line."""

import re
import shlex
from pathlib import Path

import kubernetes_validate
import typer
import yaml

from ropeway.cli import make_app

DEPLOY = Path(__file__).parent.parent / "deploy" / "mount"


def test_the_csi_manifest_follows_its_schemas_and_fits_together() -> None:
    volume, claim, pod = yaml.safe_load_all((DEPLOY / "csi.yaml").read_text())
    for document in (volume, claim, pod):
        kubernetes_validate.validate(document, "1.37", strict=True)
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert volume["spec"]["claimRef"] == {name: claim["metadata"][name] for name in ("namespace", "name")}
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert "read-only" in volume["spec"]["mountOptions"]


def test_the_readme_commands_parse() -> None:
    app = typer.main.get_command(make_app())
    lines = re.findall(r"^\$ ropeway (mount|unmount|ls) (.*)$", (DEPLOY / "README.md").read_text(), re.MULTILINE)
    assert len(lines) >= 6
    for name, words in lines:
        command = app.commands[name]  # type: ignore[attr-defined]
        command.make_context(name, shlex.split(words, comments=True))
