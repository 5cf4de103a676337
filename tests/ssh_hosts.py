"""Hosts that let us in over SSH: OpenSSH's own server on each, with keys made for one test."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from hosts import Host, NoHosts

PORT = 22  # every namespace has all its ports to itself

CONFIG = """
ListenAddress {address}:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
"""


@dataclass(frozen=True, slots=True)
class Keys:
    """Files: the user's private key, one that no host knows, and the hosts' own keys as a client knows them."""

    user: Path
    stranger: Path
    known_hosts: Path


@contextmanager
def letting_in(hosts: Sequence[Host], folder: Path) -> Iterator[Keys]:
    """An SSH server on each of the hosts, which lets root in with a key.

    Raises:
        NoHosts: there is no SSH server here.
    """
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if sshd is None or shutil.which("ssh-keygen") is None:
        raise NoHosts("there is no `sshd` command (package openssh-server)")
    Path("/run/sshd").mkdir(exist_ok=True)  # where it gives up its rights; made by the system's own service elsewhere
    for name in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    known = folder / "known_hosts"
    known.write_text("".join(f"{host.address} {(folder / 'host.pub').read_text()}" for host in hosts))
    with ExitStack() as stack:
        for host in hosts:
            config = folder / f"sshd-{host.address}"
            config.write_text(CONFIG.format(address=host.address, port=PORT, folder=folder))
            command = host.command(sshd, "-D", "-e", "-f", str(config))
            log = stack.enter_context((folder / f"sshd-{host.address}.log").open("w+"))
            server = subprocess.Popen(command, stderr=log)
            stack.callback(server.wait)
            stack.callback(host.kill)
            while "listening" not in (said := Path(log.name).read_text()):
                assert server.poll() is None, said
                sleep(0.01)
        yield Keys(folder / "user", folder / "stranger", known)


def running(host: Host) -> list[str]:
    """The commands of a host's processes that are not its SSH server's."""
    found = subprocess.run(["ip", "netns", "pids", host.namespace], capture_output=True, text=True, check=True)
    commands = [_command(process) for process in found.stdout.split()]
    return [command for command in commands if command and not command.startswith(("sshd", "/usr/sbin/sshd"))]


def _command(process: str) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has just ended
