"""The confined child that opens what people upload: `python -m workers.inspect`, one file and out.

A request comes as JSON on the standard input, the answer goes as JSON to the standard output:
{"ok": true, "info": {...}, "walls": [...]} or {"ok": false, "error": {"code", "message"}, "walls": [...]}.
It imports neither Django nor torch, and parses nothing before its walls stand.
"""

from __future__ import annotations

import errno
import gc
import json
import sys
from pathlib import Path
from typing import Any, Final

from workers.confine import confine, python_folders

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# The header and the ids that a set gains when it is written again.
_SLACK: Final = 64 * 2**20


def main() -> int:
    """Answer one request. Exit status 0 when there is an answer, whatever it says."""
    # A table of millions of small values would be searched for cycles again and again; it has none.
    gc.set_threshold(50_000, 100, 100)
    request = json.loads(sys.stdin.buffer.read(2**20))
    path, out = Path(request["path"]), Path(request["out"])
    limit = int(request["limit_bytes"])
    tokenizer = request.get("tokenizer")
    walls = confine(
        read=[path, *filter(None, [_path(tokenizer)]), *python_folders()],
        write=out.parent,
        cpu_seconds=int(request["cpu_seconds"]),
        file_bytes=max(limit, path.stat().st_size) + _SLACK,
    )
    answer = {**_answer(request, path, out, limit), "walls": walls}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    return 0


def _path(tokenizer: dict[str, Any] | None) -> Path | None:
    return Path(tokenizer["path"]) if tokenizer and tokenizer["path"] else None


def _tokenizer(told: dict[str, Any]) -> dict[str, Any]:
    return told | {"path": _path(told), "label_names": tuple(told.get("label_names", ()))}


def _answer(request: dict[str, Any], path: Path, out: Path, limit: int) -> dict[str, Any]:
    # Behind the walls only: these modules load numpy.
    from consolidation.errors import NocturneInputError

    try:
        return {"ok": True, "info": _inspect(request, path, out, limit)}
    except NocturneInputError as error:
        return {"ok": False, "error": error.to_json()}
    except MemoryError:
        return _no(
            "verify.failed", "Checking this file took more memory than is allowed. Save it as smaller files."
        )
    except OSError as error:
        if error.errno == errno.EFBIG:
            return _no("replay.expansion_limit", "Written out, this file takes more room than there is left.")
        if error.errno in _FULL:
            return _no(
                "store.disk_full",
                "The server's disk became full while the file was checked. Try again later.",
            )
        raise


def _no(code: str, message: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "message": message}}


def _inspect(request: dict[str, Any], path: Path, out: Path, limit: int) -> dict[str, Any]:
    if request["purpose"] == "checkpoint":
        from consolidation.formats.checkpoint import inspect_checkpoint
        from consolidation.formats.fresh_head import Head

        head = request.get("head")
        return inspect_checkpoint(
            path,
            family=request["family"],
            config=request["config"],
            out=out,
            filename=request["filename"],
            # The file's own room was promised to it; whether there still is any, the parent says.
            limit_bytes=max(limit, path.stat().st_size),
            digest=False,
            strict=bool(request.get("strict")),
            head=Head(**head) if head else None,
        )
    if request["purpose"] == "tokenizer":
        from consolidation.formats.lone_tokenizer import convert_tokenizer

        words = int(request["vocabulary"])
        return convert_tokenizer(path, vocabulary=words, out=out, filename=request["filename"])
    from consolidation.formats.pictures import Wanted
    from consolidation.formats.records import convert_records
    from consolidation.formats.texts import TextOptions, TokenizerFile

    tokenizer, said = request.get("tokenizer"), request.get("texts") or {}
    return convert_records(
        path,
        task=request["task"],
        transform=request["transform"],
        classes=request["classes"],
        out=out,
        filename=request["filename"],
        limit_bytes=limit,
        rights=request.get("rights"),
        rights_required=bool(request.get("rights_required")),
        tokenizer=TokenizerFile(**_tokenizer(tokenizer)) if tokenizer else None,
        options=TextOptions(**said | {"label_names": tuple(said.get("label_names", ()))}),
        split=request.get("split") or "",
        picture=Wanted(**request.get("picture") or {}),
        leave_out=bool(request.get("leave_out")),
        budget=request.get("budget"),
        head=tuple(request["head"]) if request.get("head") else None,
    )


if __name__ == "__main__":
    sys.exit(main())
