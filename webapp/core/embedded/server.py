"""Making, starting, adopting and stopping the cluster in the data folder."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from webapp.core.embedded.address import DATABASE, PORT, SOCKET, USER, dsn, socket_dir
from webapp.core.embedded.binaries import Binaries, find_binaries
from webapp.core.embedded.errors import EmbeddedPostgresError, data_error
from webapp.core.embedded.identity import Identity, choose_identity

_BUILTIN_LOCALE_MAJOR = 17
_IO_METHOD_MAJOR = 18
# PostgreSQL's protocol, 54.7 SSLRequest: length 8, code 80877103; the answer is one letter, before any login.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_LOG_LIMIT_BYTES = 10_000_000


class EmbeddedPostgres:
    """The cluster ``<data_dir>/postgres``, listening only on a Unix socket in a folder with mode 0700.

    Args:
        data_dir: the data folder; made if missing.
        durable: False gives up crash safety for speed; for throw-away clusters in tests only.
    """

    def __init__(self, data_dir: Path | str, *, durable: bool = True) -> None:
        self.data_dir = Path(data_dir).expanduser().resolve()
        self.cluster = self.data_dir / "postgres"
        self.log = self.data_dir / "logs" / "postgres.log"
        self.socket_dir = socket_dir(self.data_dir)
        self.dsn = dsn(self.data_dir)
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    def is_running(self) -> bool:
        """Whether this cluster's server is up and takes connections at :attr:`dsn`."""
        lines = self._pid_file()
        return self._postmaster() is not None and len(lines) > 7 and lines[7].strip() == "ready"

    def start(self, timeout: float = 60.0) -> None:
        """Have the server running: adopt one that already runs, else make the cluster if needed and start it.

        Args:
            timeout: seconds to wait for the first connection; replaying the log after a crash counts.

        Raises:
            EmbeddedPostgresError: with a code from its docstring; nothing half-made is left behind.
        """
        self._make_folders()
        with self._lock():
            if self._adopt(timeout):
                return
            binaries = find_binaries(major=self._cluster_major())
            identity = choose_identity(data_dir=self.data_dir, cluster=self.cluster, binaries=binaries)
            identity.take_over(self.socket_dir)
            if not self.cluster.exists():
                self._create(binaries, identity)
            self._clear_stale_files()
            self._launch(binaries, identity)
            self._wait_ready(timeout)

    def stop(self, timeout: float = 30.0) -> None:
        """End the server, whoever started it: a fast shutdown, then an immediate one; nothing if it is down.

        Raises:
            EmbeddedPostgresError: ``postgres.stop_timeout`` when it survived both.
        """
        pid = self._postmaster()
        if pid is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if self._wait_ended(pid, timeout):
                self._process = None
                return
        raise EmbeddedPostgresError(
            "postgres.stop_timeout",
            f"The embedded PostgreSQL (process {pid}) did not stop within {timeout:.0f} s.",
        )

    # --- folders ------------------------------------------------------------------------------------------

    def _make_folders(self) -> None:
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self.log.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=self.data_dir):
                pass
            if self.socket_dir.parent == self.data_dir:
                self.socket_dir.mkdir(mode=0o700, exist_ok=True)
                self.socket_dir.chmod(0o700)
        except OSError as error:
            raise data_error(self.data_dir, error) from error
        if self.socket_dir.parent != self.data_dir:
            self._make_short_socket_dir()

    def _make_short_socket_dir(self) -> None:
        """Outside the data folder anybody may have made that name first, so it is checked, never repaired."""
        try:
            self.socket_dir.mkdir(mode=0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise data_error(self.socket_dir, error) from error
        found = self.socket_dir.lstat()
        owners = {os.geteuid(), self.cluster.stat().st_uid if self.cluster.exists() else os.geteuid()}
        if (
            not stat.S_ISDIR(found.st_mode)
            or found.st_uid not in owners
            or stat.S_IMODE(found.st_mode) != 0o700
        ):
            raise EmbeddedPostgresError(
                "postgres.socket_dir",
                f"The folder {self.socket_dir} is needed for the database's socket, but it is not a private "
                "folder of this user. Remove it, or choose a data folder with a shorter path.",
            )

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One process at a time makes or starts the cluster."""
        with (self.data_dir / "logs" / "postgres.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    # --- the running server -------------------------------------------------------------------------------

    def _pid_file(self) -> list[str]:
        """postmaster.pid: pid, data folder, start, port, socket folder, address, shared memory, status."""
        try:
            return (self.cluster / "postmaster.pid").read_text(errors="replace").splitlines()
        except OSError:
            return []

    def _postmaster(self) -> int | None:
        """The pid of this cluster's live server; a recorded pid counts only if that process works in it."""
        # Here and below: psutil is slow to import, and most processes only want the DSN of this package.
        from webapp.core.processes import works_in

        lines = self._pid_file()
        if not lines or not lines[0].strip().isdigit():
            return None
        pid = int(lines[0])
        return pid if works_in(pid, self.cluster, name="postgres") else None

    def _adopt(self, timeout: float) -> bool:
        """Use what an earlier run left behind, unless it listens elsewhere (a moved folder) or is dying."""
        if self._postmaster() is None:
            return False
        try:
            self._wait_ready(timeout)
        except EmbeddedPostgresError:
            if self._postmaster() is not None:
                raise
            return False
        lines = self._pid_file()
        if len(lines) > 4 and lines[4] == str(self.socket_dir) and self._answers():
            return True
        self.stop()
        return False

    def _answers(self) -> bool:
        """Whether the server talks to a client; a killed one still counts as a process for a moment."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket_dir / SOCKET))
                client.sendall(_SSL_REQUEST)
                return client.recv(1) in (b"N", b"S")
            except OSError:
                return False

    def _clear_stale_files(self) -> None:
        """After kill -9, let orphaned backends finish, then drop the files that name the dead server's pid.

        PostgreSQL would refuse to start if that number meanwhile belongs to any other process.
        """
        from webapp.core.processes import working_in

        if self._pid_file():
            deadline = time.monotonic() + 10
            while working_in(self.cluster, name="postgres") and time.monotonic() < deadline:
                time.sleep(0.05)
        stale = (
            self.cluster / "postmaster.pid",
            self.socket_dir / SOCKET,
            self.socket_dir / f"{SOCKET}.lock",
        )
        for path in stale:
            path.unlink(missing_ok=True)

    def _wait_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not self.is_running():
            code = self._process.poll() if self._process else (None if self._postmaster() else -1)
            if code is not None:
                raise self._failed(
                    "postgres.start_failed", "The embedded PostgreSQL stopped while it was starting."
                )
            if time.monotonic() > deadline:
                raise self._failed(
                    "postgres.start_timeout",
                    f"The embedded PostgreSQL took no connection in {timeout:.0f} s; it goes on starting.",
                )
            time.sleep(0.01)

    def _wait_ended(self, pid: int, timeout: float) -> bool:
        from webapp.core.processes import wait_gone

        if self._process is None or self._process.pid != pid:
            return wait_gone(pid, timeout)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _launch(self, binaries: Binaries, identity: Identity) -> None:
        # A list of folders in PostgreSQL's own syntax, hence the quotes.
        folder = '"' + str(self.socket_dir).replace('"', '""') + '"'
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": folder,
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "64MB",
            "max_wal_size": "256MB",
            "jit": "off",
            "log_min_messages": "warning",
            "log_checkpoints": "off",
            "logging_collector": "off",
            "log_line_prefix": "%m [%p] ",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if binaries.major >= _IO_METHOD_MAJOR:
            settings["io_method"] = "sync"  # no helper processes for a database this small
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # Its own session: Ctrl-C in the terminal must reach the launcher only, which stops the database last.
        with self._open_log() as log:
            self._process = subprocess.Popen(
                [*identity.prefix, binaries.postgres, "-D", str(self.cluster), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
                **identity.process_options(),
            )

    def _open_log(self) -> BinaryIO:
        too_long = self.log.exists() and self.log.stat().st_size > _LOG_LIMIT_BYTES
        return self.log.open("wb" if too_long else "ab")

    def _failed(self, code: str, sentence: str) -> EmbeddedPostgresError:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        if lines and "No space left on device" in "\n".join(lines[-20:]):
            return data_error(self.data_dir, OSError(errno.ENOSPC, ""))
        grave = [line for line in lines[-20:] if "FATAL:" in line or "PANIC:" in line] or lines
        reason = f" Its last words: {grave[-1][:200]}" if grave else ""
        return EmbeddedPostgresError(code, f"{sentence}{reason} (All of them: {self.log})")

    # --- the cluster --------------------------------------------------------------------------------------

    def _cluster_major(self) -> int | None:
        try:
            text = (self.cluster / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EmbeddedPostgresError(
                "postgres.owner",
                f"The database in {self.data_dir} cannot be read by this user. Start as the user who "
                "made it, or name another data folder with NOCTURNE_DATA.",
            ) from error
        return int(text.split(".")[0])

    def _create(self, binaries: Binaries, identity: Identity) -> None:
        """initdb under another name, the database in it, then one rename: no half-made cluster counts."""
        for leftover in self.data_dir.glob("postgres.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = self.data_dir / f"postgres.new-{os.getpid()}"
        locale = ["--locale=C"]
        if binaries.major >= _BUILTIN_LOCALE_MAJOR:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        initdb = [binaries.initdb, "-D", str(fresh), "-U", USER, "--auth=trust", "--encoding=UTF8", *locale]
        statement = f"CREATE DATABASE {DATABASE};\n".encode()
        single = [binaries.postgres, "--single", "-D", str(fresh), "-c", "log_checkpoints=off", "postgres"]
        try:
            fresh.mkdir(mode=0o700)
            identity.take_over(fresh)
            self._command([*identity.prefix, *initdb, "--no-instructions"], b"", identity)
            self._command([*identity.prefix, *single], statement, identity)
            fresh.rename(self.cluster)
        except OSError as error:
            raise data_error(self.data_dir, error) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _command(self, words: list[str], text: bytes, identity: Identity) -> None:
        with self._open_log() as log:
            done = subprocess.run(
                words,
                input=text,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=300,
                cwd="/",
                **identity.process_options(),
            )
        if done.returncode != 0:
            raise self._failed("postgres.init_failed", "The embedded PostgreSQL could not make its database.")
