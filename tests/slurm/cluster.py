"""A real Slurm on this machine alone: its nodes are daemons that differ by their ports.

    python -m tests.slurm.cluster DIR    starts one, prints what to export; Ctrl-C ends it

As root, for what it starts runs as others; Debian and Ubuntu have it as slurm-wlm and munge.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
_SECONDS_TO_START = 60


def missing() -> str | None:
    """What a Slurm of our own lacks here, in a line; None where it can be started."""
    programs = [name for name in _PROGRAMS if shutil.which(name) is None]
    if programs:
        return f"a local Slurm needs {', '.join(programs)}: apt-get install slurm-wlm munge"
    if os.getuid() != 0:
        return "a local Slurm is started as root"
    return None


class LocalSlurm:
    """Nodes n1, n2, ... of two CPUs; partition `low` gives way to `high`, after a time of grace.

    Args:
        directory: where its files are; others must be able to read it.
    """

    def __init__(self, directory: Path, *, nodes: int = 2, grace: int = 60):
        self.directory, self.nodes = directory, [f"n{k + 1}" for k in range(nodes)]
        self.environment = {"SLURM_CONF": str(directory / "slurm.conf")}
        self._configure(grace)

    def start(self) -> None:
        key = self.directory / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = {"key-file": key, "socket": self._file("munge.socket")}
        files |= {f"{name}-file": self._file(f"munge.{name}") for name in ("pid", "log", "seed")}
        self._run("munged", "--force", *(f"--{name}={file}" for name, file in files.items()))
        self._run("slurmctld")
        for node in self.nodes:
            self.start_node(node)
        self.wait_for(lambda: self._run("sinfo", "-h", "-N", "-t", "idle", "-p", "low"))

    def start_node(self, node: str) -> None:
        (self.directory / f"spool-{node}").mkdir(exist_ok=True)
        self._run("slurmd", "-N", node)

    def kill_node(self, node: str) -> None:
        """As if the power went: the daemon, the steps and all that runs in them."""
        jobs = self._run("squeue", "-h", "-w", node, "-t", "running", "-o", "%A %i").split()
        self._kill(self._file(f"{node}.pid"), signal.SIGKILL)
        for process in Path("/proc").iterdir():
            if process.name.isdecimal() and self._is_of(process, node, jobs):
                with suppress(ProcessLookupError):
                    os.kill(int(process.name), signal.SIGKILL)

    def stop(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self._run("scancel", "--user", str(os.getuid()))
        with suppress(AssertionError, subprocess.CalledProcessError):
            self.wait_for(lambda: not self.queue())
        for name in (*self.nodes, "slurmctld", "munge"):
            self._kill(self._file(f"{name}.pid"), signal.SIGTERM)

    def queue(self) -> str:
        """A line for each job that is not over: its name, its state."""
        return self._run("squeue", "--noheader", "--array", "--format", "%i %T")

    def ask(self, *command: str) -> str:
        """A command of Slurm's."""
        return self._run(*command)

    def wait_for(self, holds: Callable[[], object], seconds: float = _SECONDS_TO_START) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, f"not within {seconds} s\n{self.queue()}"
            time.sleep(0.2)

    def _configure(self, grace: int) -> None:
        host, controller, *ports = socket.gethostname(), *_free_ports(1 + len(self.nodes))
        settings = {
            "ClusterName": "local",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": controller,
            "SlurmUser": "root",
            "SlurmdUser": "root",
            # The time after which a job that was requeued starts again is that of its credential.
            "AuthInfo": f"socket={self._file('munge.socket')},cred_expire=5",
            "CryptoType": "crypto/munge",
            "StateSaveLocation": self.directory,
            "SlurmdSpoolDir": self._file("spool-%n"),
            "SlurmctldPidFile": self._file("slurmctld.pid"),
            "SlurmdPidFile": self._file("%n.pid"),
            "SlurmctldLogFile": self._file("slurmctld.log"),
            "SlurmdLogFile": self._file("%n.log"),
            # Neither control groups nor accounting, which a container lacks.
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "AccountingStorageType": "accounting_storage/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_CPU_Memory",
            "SchedulerType": "sched/backfill",
            "SchedulerParameters": "bf_interval=2,sched_interval=5",
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            "MpiDefault": "none",
            "ReturnToService": 2,
            "SlurmdTimeout": 10,
            "KillWait": 10,
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        lines += [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 "
            "RealMemory=4000 State=UNKNOWN"
            for node, port in zip(self.nodes, ports, strict=True)
        ]
        lines += [
            f"PartitionName=low Nodes=ALL Default=YES State=UP PriorityTier=1 GraceTime={grace}",
            "PartitionName=high Nodes=ALL State=UP PriorityTier=2 PreemptMode=OFF",
        ]
        (self.directory / "slurm.conf").write_text("\n".join(lines) + "\n")

    def _file(self, name: str) -> Path:
        return self.directory / name

    def _run(self, *command: str) -> str:
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout.strip()

    def _is_of(self, process: Path, node: str, jobs: list[str]) -> bool:
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return False
        if words.startswith("slurmstepd: ["):
            number = words.removeprefix("slurmstepd: [").partition(".")[0]
            return number in jobs
        ours = f"SLURM_CONF={self.environment['SLURM_CONF']}"
        return ours in variables and f"SLURMD_NODENAME={node}" in variables

    def _kill(self, file: Path, number: signal.Signals) -> None:
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int(file.read_text()), number)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


if __name__ == "__main__":
    if lacks := missing():
        sys.exit(lacks)
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    cluster = LocalSlurm(place)
    cluster.start()
    print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        cluster.stop()
