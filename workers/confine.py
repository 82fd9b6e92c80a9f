"""Walls that a process builds around itself before it reads what a stranger sent.

Each wall is taken if the system has it: limits (every POSIX system), no new privileges, an empty network
namespace, a file-system allow-list (Landlock, Linux 5.13 on) and a refusal of dangerous system calls
(seccomp). None needs root. `confine` cannot be undone; call it once, before any thread exists.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

MEMORY_BYTES: Final = 2 * 2**30
OPEN_FILES: Final = 64

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 4, 38, 22
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000

# Landlock (uapi/linux/landlock.h): one number on every architecture.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_WRITE = (1 << 1) | (1 << 5) | (1 << 8)  # write a file, remove a file, make a regular file
_FOLDERS = (1 << 4) | (1 << 7)  # remove a folder, make a folder
_TRUNCATE = 1 << 14  # from the interface's third version on

# System calls that reading a file never needs: (x86_64, aarch64).
_FORBIDDEN: Final = {
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "bind": (49, 200), "listen": (50, 201),
    "socketpair": (53, 199), "fork": (57, None), "vfork": (58, None), "clone": (56, 220),
    "clone3": (435, 435), "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117),
    "mount": (165, 40), "umount2": (166, 39), "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280),
    "kill": (62, 129), "tkill": (200, 130), "pidfd_open": (434, 434), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "io_uring_setup": (425, 425), "add_key": (248, 217), "keyctl": (250,
    219), "perf_event_open": (298, 241), "memfd_create": (319, 279), "symlink": (88, None), "symlinkat":
    (266, 36), "userfaultfd": (323, 282),
}  # fmt: skip
_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def confine(
    *,
    read: Iterable[Path],
    write: Path,
    cpu_seconds: int,
    file_bytes: int,
    memory_bytes: int = MEMORY_BYTES,
) -> list[str]:
    """Build every wall that this system offers.

    Args:
        read: files and folders that may be read.
        write: the one folder that may be written.
        cpu_seconds: after so much computing the process is killed.
        file_bytes: the largest file that it may write.
        memory_bytes: address space; no CUDA here, so it may be limited.

    Returns:
        The walls that stand, from "limits" to "system calls".
    """
    walls = []
    _limits(cpu_seconds, file_bytes, memory_bytes)
    walls.append("limits")
    if sys.platform != "linux":
        return walls
    libc = ctypes.CDLL(None, use_errno=True)
    # Not even the same user may look into this process.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        walls.append("no new privileges")
    flags = _CLONE_NEWNET | _CLONE_NEWIPC
    if libc.unshare(_CLONE_NEWUSER | flags) == 0 or libc.unshare(flags) == 0:
        walls.append("no network")
    if _landlock(libc, list(read), write):
        walls.append("files")
    if _seccomp(libc):
        walls.append("system calls")
    return walls


def confine_trainer(
    *, read: Iterable[Path], write: Path, file_bytes: int, memory_bytes: int, device: str
) -> list[str]:
    """The walls of a process that trains: as many as its device bears. It goes on to start threads.

    Args:
        read: files and folders that may be read.
        write: the one folder that may be written.
        file_bytes: the largest file that it may write; 0: any.
        memory_bytes: private memory; 0: as much as there is. Not for a GPU, whose driver maps far more.
        device: torch's name; a GPU's driver wants its own files and sockets, so there only limits stand.

    Returns:
        The walls that stand.
    """
    wanted = {resource.RLIMIT_CORE: 0} | ({resource.RLIMIT_FSIZE: file_bytes} if file_bytes else {})
    if memory_bytes and device == "cpu" and sys.platform == "linux":
        wanted[resource.RLIMIT_DATA] = memory_bytes
    _set_limits(wanted)
    walls = ["limits"]
    if sys.platform != "linux":
        return walls
    libc = ctypes.CDLL(None, use_errno=True)
    # When memory runs out, the trainer is the one to go: it can go on from its snapshot.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        walls.append("no new privileges")
    if device != "cpu":
        return walls
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWNET) == 0:
        walls.append("no network")
    if _landlock(libc, list(read), write, _FOLDERS):
        walls.append("files")
    return walls


def _limits(cpu_seconds: int, file_bytes: int, memory_bytes: int) -> None:
    wanted = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":  # macOS refuses a limit on address space
        wanted[resource.RLIMIT_AS] = memory_bytes
    _set_limits(wanted)


def _set_limits(wanted: dict[int, int]) -> None:
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (least, least))


def _landlock(libc: Any, read: list[Path], write: Path, more: int = 0) -> bool:
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    # Handling a right means that it is refused everywhere but where a rule gives it.
    handled = (1 << 13) - 1
    if version >= 2:
        handled |= 1 << 13
    if version >= 3:
        handled |= _TRUNCATE
    attributes = ctypes.create_string_buffer(struct.pack("Q", handled), 8)
    ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(8), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        rules = [(path, _READ_FILE | (_READ_DIR if path.is_dir() else 0)) for path in read if path.exists()]
        rules.append((write, handled & (_READ_FILE | _READ_DIR | _WRITE | _TRUNCATE | more)))
        for path, access in rules:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = ctypes.create_string_buffer(struct.pack("=Qi", access, descriptor), 12)
                if libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, ctypes.c_uint32(0)) != 0:
                    return False
            finally:
                os.close(descriptor)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, ruleset, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(ruleset)


def _seccomp(libc: Any) -> bool:
    """A filter that answers EPERM to the forbidden calls; one of another architecture kills the process."""
    if platform.machine() not in _ARCHITECTURES:
        return False
    column, audit = _ARCHITECTURES[platform.machine()]
    numbers = [pair[column] for pair in _FORBIDDEN.values()]
    load, jump_equal, jump_least, answer = 0x20, 0x15, 0x35, 0x06
    kill, refuse, allow = 0x80000000, 0x00050001, 0x7FFF0000

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    program = step(load, 4) + step(jump_equal, audit, 1, 0) + step(answer, kill) + step(load, 0)
    # x86_64's second table of the same calls (x32) begins at bit 30.
    program += step(jump_least, 0x40000000, 0, 1) + step(answer, kill)
    for number in numbers:
        if number is not None:
            program += step(jump_equal, number, 0, 1) + step(answer, refuse)
    program += step(answer, allow)
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)), struct.calcsize("HxxxxxxP")
    )
    return bool(libc.prctl(_PR_SET_SECCOMP, 2, header, 0, 0) == 0)


def python_folders() -> list[Path]:
    """What a confined Python must still be able to import from: its library, packages, and our own two."""
    here = Path(__file__).resolve().parent.parent
    folders = {Path(sys.prefix), Path(sys.base_prefix), here / "consolidation", here / "workers"}
    folders |= {Path(entry) for entry in sys.path if entry and "site-packages" in entry}
    folders |= {Path(entry) for entry in ("/usr/lib", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom")}
    return sorted(folders)


def confinement_level() -> str:
    """How strong the walls are on this system, in one line for the log: measured in a child, not guessed."""
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        code = (
            "from pathlib import Path; from workers.confine import confine, python_folders; "
            f"print(', '.join(confine(read=python_folders(), write=Path({folder!r}), cpu_seconds=10, "
            "file_bytes=1)))"
        )
        root = str(Path(__file__).resolve().parent.parent)
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    walls = done.stdout.strip()
    if done.returncode != 0 or not walls:
        return "none (uploads cannot be checked here)"
    return walls
