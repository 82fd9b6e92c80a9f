"""MLflow and TensorBoard, installed for a measurement, and processes of theirs that end with it.

They get an environment of their own in a temporary folder. With NOCTURNE_BENCH_RIVALS it is kept in the
folder of that name and used again. Nothing of theirs reports home: MLflow's telemetry is off, and all is
on loopback.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

PINS = {"mlflow": "3.17.2", "tensorboard": "2.21.0"}
# Half of MLflow's processes run jobs of language models; without them the others have the machine.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}  # fmt: skip
VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


class Writer:
    """A process that logs points to a rival when told to. See rival_writer.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.where: dict[str, str] = self._answer()

    def begin(self, count: int) -> None:
        """Tell it to log so many; `end` waits until it has."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def end(self) -> tuple[int, float]:
        step, began = self._answer()
        return int(step), float(began)

    def log(self, count: int = 1) -> tuple[int, float]:
        """The last step, and when the call that logged it began (ms since 1970)."""
        self.begin(count)
        return self.end()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit("a rival's writer ended")
        return json.loads(line)


@dataclass(frozen=True)
class Rivals:
    """Where they are installed and where they may write."""

    python: Path
    folder: Path
    install_seconds: float

    def mlflow(self) -> AbstractContextManager[str]:
        """MLflow's server on SQLite; its address."""
        database, artifacts = f"sqlite:///{self.folder / 'mlflow.db'}", str(self.folder / "artifacts")
        places = ("--backend-store-uri", database, "--artifacts-destination", artifacts)
        return self._server("mlflow", "server", *places, answers="/health")

    def tensorboard(self, logs: Path, *options: str) -> AbstractContextManager[str]:
        """TensorBoard over a folder of runs; its address."""
        return self._server("tensorboard", "--logdir", str(logs), *options, answers="/data/environment")

    @contextmanager
    def _server(self, name: str, *arguments: str, answers: str) -> Iterator[str]:
        """One of their commands on a free port, from when the path `answers` does; its address."""
        from tests.webapp.live.people import free_port

        port = free_port()
        url, log = f"http://127.0.0.1:{port}", self.folder / f"{name}-{port}.log"
        command = [str(self.python.parent / name), *arguments, "--host", "127.0.0.1", "--port", str(port)]
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self._environment(), stdout=output, stderr=subprocess.STDOUT
            )
        try:
            deadline = time.monotonic() + 180
            while not _answers(url + answers):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{name} did not start:\n{log.read_text()[-2000:]}")
                time.sleep(0.2)
            yield url
        finally:
            _end(process)

    @contextmanager
    def writer(self, product: str, place: str) -> Iterator[Writer]:
        """Something that logs to it."""
        command = [str(self.python), str(Path(__file__).with_name("rival_writer.py")), product, place]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self._environment(), text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            yield Writer(process)
        finally:
            _end(process)

    def versions(self) -> dict[str, str]:
        command = [str(self.python), "-c", VERSIONS, *PINS]
        found = subprocess.run(command, check=True, capture_output=True, text=True, env=self._environment())
        versions: dict[str, str] = json.loads(found.stdout)
        return versions

    def _environment(self) -> dict[str, str]:
        """Nothing of the caller's, and a home and a place for temporary files that are thrown away."""
        return QUIET | {"PATH": os.environ["PATH"], "HOME": str(self.folder), "TMPDIR": str(self.folder)}


@contextmanager
def installed() -> Iterator[Rivals]:
    """An environment with both in it, and a folder that is removed afterwards."""
    with _ending_well(), tempfile.TemporaryDirectory(prefix="noct-rivals-") as folder:
        place = Path(os.environ.get("NOCTURNE_BENCH_RIVALS") or Path(folder) / "venv").resolve()
        python, began = place / "bin" / "python", time.monotonic()
        if not _has_pins(Rivals(python, Path(folder), 0.0)):
            wanted = [f"{name}=={version}" for name, version in PINS.items()]
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            command = [str(python), "-m", "pip", "install", "-qq", *wanted]
            subprocess.run(command, check=True, env=os.environ | QUIET, stdout=subprocess.DEVNULL)
        yield Rivals(python, Path(folder), time.monotonic() - began)


@contextmanager
def _ending_well() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does, so that their processes end too."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _has_pins(rivals: Rivals) -> bool:
    try:
        return rivals.versions() == PINS
    except (OSError, subprocess.CalledProcessError):
        return False


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
        return bool(answer.status == 200)
    return False


def _end(process: subprocess.Popen[Any]) -> None:
    """It and all that it started, by their ids; both products start more."""
    started: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        started = [parent, *parent.children(recursive=True)]
    for one in started:
        with suppress(psutil.NoSuchProcess):
            one.terminate()
    for one in psutil.wait_procs(started, timeout=10)[1]:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
