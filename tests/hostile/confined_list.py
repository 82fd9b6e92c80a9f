"""A child with the walls of `workers.inspect` that answers for a whole list of files, and says what it did.

`python -m tests.hostile.confined_list`: a request comes as JSON on the standard input, one line of JSON for
each file goes to the standard output. What an attacker would want is noted by an audit hook: programs,
processes, sockets, unpickling, code that is compiled, modules that were not there before.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from workers.confine import confine, python_folders
from workers.inspect import _answer

ACTS: Final = (
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.", "socket.",
    "pty.", "pickle.", "marshal.loads", "exec", "compile", "import", "ctypes.", "urllib.", "webbrowser.",
    "os.kill", "os.putenv", "shutil.", "code.",
)  # fmt: skip
_LIMIT: Final = 2**27


class Listening:
    """Notes the acts that happen while it is armed."""

    def __init__(self, scratch: Path) -> None:
        self.seen: list[str] = []
        self.armed = False
        self._scratch = str(scratch)
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event.startswith(ACTS):
            self.seen.append(f"{event} {arguments[:1]}"[:200])
        elif event == "open" and "w" in str(arguments[1] or "") and not self._inside(arguments[0]):
            self.seen.append(f"writes {arguments[0]}"[:200])

    def _inside(self, path: Any) -> bool:
        return isinstance(path, str | Path) and str(path).startswith(self._scratch)


def main() -> int:
    """Answer one list."""
    asked = json.loads(sys.stdin.buffer.read())
    folder, scratch = Path(asked["folder"]), Path(asked["scratch"])
    listening = Listening(scratch)
    walls = confine(read=[folder, *python_folders()], write=scratch, cpu_seconds=500, file_bytes=_LIMIT)
    print(json.dumps(walls))
    for number, item in enumerate(asked["files"]):
        # The first ones are good files of each kind, which load what has to be loaded.
        listening.armed = number >= asked["good"]
        print(json.dumps(_one(item, folder, scratch, listening)), flush=True)
    return 0


def _one(item: dict[str, Any], folder: Path, scratch: Path, listening: Listening) -> dict[str, Any]:
    path, out = folder / item["file"], scratch / "out"
    request = {
        "purpose": item["purpose"], "filename": item["filename"], "family": None,
        "config": {"activation": "relu"}, "task": "t", "transform": None, "classes": None, "strict": False,
    }  # fmt: skip
    before = len(listening.seen)
    said: dict[str, Any] = {"row": item["row"]}
    try:
        answer = _answer(request, path, out, _LIMIT)
        said["code"] = "" if answer["ok"] else answer["error"]["code"]
        said["message"] = "" if answer["ok"] else answer["error"]["message"]
    except BaseException as error:
        said["crash"] = f"{type(error).__name__}: {error}"[:300]
    if said.get("code") == "":
        for name in ("out", "out.extras"):
            (scratch / name).unlink(missing_ok=True)
    said["left"] = sorted(file.name for file in scratch.iterdir())
    said["seen"] = listening.seen[before:]
    return said


if __name__ == "__main__":
    sys.exit(main())
