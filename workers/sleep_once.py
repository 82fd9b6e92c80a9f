"""One sleep from files to files, without a server: what `nocturne sleep` runs."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from consolidation.errors import NocturneInputError, shorten
from consolidation.families.lora_spec import LoraSpec, over
from consolidation.families.registry import ensure_computable
from consolidation.families.text_model import text_model
from consolidation.formats.checkpoint import extras_path, inspect_checkpoint
from consolidation.formats.records import convert_records
from consolidation.formats.texts import LENGTH, TOKENIZER, TextOptions, TokenizerFile
from consolidation.recipe import PRESETS, SleepRecipe, presets, recipe_from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from consolidation.events import Event

RESULTS = ("model.safetensors", "report.json")
# In the order in which an ending is looked for: the packed ones first.
_SUFFIXES = (
    ".jsonl.gz", ".csv.gz", ".txt.gz", ".npz", ".jsonl", ".csv", ".txt", ".parquet", ".safetensors",
)  # fmt: skip
_ENDINGS = ".npz, .jsonl, .csv, .txt, .parquet; text also as .gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepRequest:
    """What the command line was asked. Paths are as given; `config` is what the checkpoint's file may not
    say, by the family's field; `transform` None: the files' own; the rest as in `TextOptions`."""

    checkpoint: Path
    memories: Path
    probes: Path
    out: Path
    reference: Path | None
    base: Path | None
    awake: Path | None
    recipe: str
    family: str | None
    config: dict[str, str]
    transform: dict[str, float] | None
    device: str
    mapping: dict[str, str] = field(default_factory=dict)
    length: int = LENGTH
    truncate: bool = False


def sleep_once(request: SleepRequest, *, on_event: Callable[[Event], None]) -> dict[str, Any]:
    """Run the night and write `model.safetensors` and `report.json` into the out folder.

    Both appear together at the end or not at all.

    Returns:
        {"before", "after", "verdict", "reasons", "seconds", "steps", "checkpoint", "report", "notes"}; the
        notes tell what looks skewed in a file of records.

    Raises:
        NocturneInputError: something given cannot be used; nothing was written.
    """
    _recipe(request.recipe, text=False)  # refused before anything is read
    _check_out(request)
    _check_device(request.device)
    sets = _files(request.memories, what="memories")
    proofs = _files(request.probes, what="probes")
    if missing := sorted(set(sets) - set(proofs)):
        raise NocturneInputError(
            "cycle.no_probes",
            f"There is no probe for {shorten(missing[0])!r}. Put a file of the same name into the probes "
            "folder, or take its memories out.",
        )
    awake = _awake(request.awake, list(proofs))
    with _scratch(request.out) as scratch:
        under = _base(request.base, scratch / "base.safetensors")
        model_path, facts = _checkpoint(request.checkpoint, request, scratch / "in.safetensors", under)
        reference_path = None
        if request.reference:
            path = scratch / "reference.safetensors"
            reference_path, _ = _checkpoint(request.reference, request, path, under)
        recipe = _recipe(request.recipe, text=text_model(facts["family"], facts["config"]) is not None)
        return _night(
            request, recipe, model_path, reference_path, sets, proofs, awake, scratch, on_event,
            base_path=under.path if under else None,
            tokenizer=_tokenizer(facts, extras_path(model_path), under),
        )  # fmt: skip


def _night(
    request: SleepRequest,
    recipe: SleepRecipe,
    model_path: Path,
    reference_path: Path | None,
    sets: dict[str, Path],
    proofs: dict[str, Path],
    awake: dict[str, Path],
    scratch: Path,
    on_event: Callable[[Event], None],
    base_path: Path | None,
    tokenizer: TokenizerFile | None,
) -> dict[str, Any]:
    from consolidation.cycle import sleep
    from consolidation.memory.store import Records
    from consolidation.weights import load_model, save_model

    notes: list[str] = []
    # A probe's labels are those of its task's memories, though it may lack some.
    names: dict[str, tuple[str, ...]] = {}

    def converted(files: dict[str, Path], use: str) -> list[Records]:
        opened: list[Records] = []
        for task, path in files.items():
            target = scratch / f"{use}-{len(opened)}.safetensors"
            options = TextOptions(
                request.mapping, length=request.length, truncate=request.truncate, probe=use == "probe",
                label_names=names.get(task, ()),
            )  # fmt: skip
            convert = partial(
                convert_records, path, task=task, transform=request.transform, out=target,
                tokenizer=tokenizer, options=options,
            )  # fmt: skip
            facts = _naming(path, convert)
            names.setdefault(task, tuple(facts["label_names"]))
            notes.extend(f"{shorten(path.name)}: {note['text']}" for note in facts["notes"])
            opened.append(Records.open(target))
        return opened

    memories, probes = converted(sets, "memories"), converted(proofs, "probe")
    day = converted(awake, "awake")
    model = load_model(model_path, base=base_path)
    report = sleep(
        model,
        memories,
        probes,
        recipe,
        reference=load_model(reference_path, base=model) if reference_path else None,
        awake=day[0] if day else None,
        workdir=scratch / "work",
        device=request.device,
        on_event=on_event,
    )
    result = scratch / "result"
    result.mkdir()
    save_model(model, result / "model.safetensors")
    full = report.to_json()
    (result / "report.json").write_text(json.dumps(full, indent=1))
    request.out.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:
        (result / name).replace(request.out / name)
    return {
        "before": full["metrics"]["before"],
        "after": full["metrics"]["after"],
        "verdict": full["verdict"],
        "reasons": full["reasons"],
        "seconds": full["seconds"],
        "steps": full["steps"],
        "checkpoint": str(request.out / "model.safetensors"),
        "report": str(request.out / "report.json"),
        "notes": notes,
    }


def _check_out(request: SleepRequest) -> None:
    """Whether the result can be written at all, asked before the night and not after it."""
    files = (request.checkpoint, request.reference, request.base)
    given = [path.resolve() for path in files if path is not None]
    if (request.out / RESULTS[0]).resolve() in given:
        raise NocturneInputError(
            "out.is_input",
            f"The result would overwrite {RESULTS[0]!r} in the folder given as --out. "
            "Choose another folder; the old checkpoint stays.",
        )
    if request.out.exists() and not request.out.is_dir():
        raise NocturneInputError(
            "out.not_writable", f"{shorten(request.out.name)!r} is a file. Choose a folder as --out."
        )
    for name in RESULTS:
        if (request.out / name).is_dir():
            raise NocturneInputError(
                "out.not_writable", f"{name} in the --out folder is a folder. Choose another --out."
            )


def _check_device(name: str) -> None:
    import torch

    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise NocturneInputError(
            "device.missing",
            f"There is no device {shorten(name, 20)!r} here. Use cpu, or one that this PyTorch reaches.",
        ) from error


def _recipe(given: str, *, text: bool) -> SleepRecipe:
    """A preset as such a model sleeps by it, or a file, which says all that is not usual."""
    if given in PRESETS:
        return presets(text=text)[given]
    path = Path(given)
    if not path.is_file():
        raise NocturneInputError(
            "cycle.recipe_missing",
            f"{shorten(given)!r} is neither a preset ({', '.join(PRESETS)}) nor a file. Name one of them.",
        )
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise NocturneInputError(
            "cycle.recipe_missing", f"{shorten(path.name)!r} cannot be read ({error.strerror})."
        ) from error
    except (ValueError, RecursionError) as error:
        raise NocturneInputError(
            "cycle.recipe_format", f"{shorten(path.name)} is not JSON. Write the recipe as one JSON object."
        ) from error
    return recipe_from_json(values, "sleep")


def _files(folder: Path, *, what: str) -> dict[str, Path]:
    """Task name -> file, in the order of names; a leading number like `03-` orders and is not shown."""
    if not folder.is_dir():
        raise NocturneInputError(
            f"cycle.no_{what}", f"The {what} folder {shorten(folder.name)!r} does not exist."
        )
    found: dict[str, Path] = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise NocturneInputError(
            f"cycle.no_{what}", f"The {what} folder cannot be read ({error.strerror}). Choose another."
        ) from error
    for path in paths:
        ending = next((ending for ending in _SUFFIXES if path.name.endswith(ending)), None)
        if ending and path.is_file():
            task = re.sub(r"^\d+[-_ ]", "", path.name.removesuffix(ending))
            if task in found:
                raise NocturneInputError(
                    "task.exists", f"The {what} folder has two files for {shorten(task)!r}. Keep one of them."
                )
            found[task] = path
    if not found:
        raise NocturneInputError(
            f"cycle.no_{what}",
            f"The {what} folder {shorten(folder.name)!r} holds no file of records "
            f"({_ENDINGS}). Put one a task into it.",
        )
    return found


def _awake(path: Path | None, tasks: list[str]) -> dict[str, Path]:
    """{newest task: file}; the file's own name says nothing, the newest task is the last one by name."""
    if path is None:
        return {}
    if not path.name.endswith(_SUFFIXES) or not path.is_file():
        raise NocturneInputError(
            "cycle.no_awake",
            f"The training records {shorten(path.name)!r} are no file of records ({_ENDINGS}). Name the "
            "file that the model has just learned from, or leave --awake out.",
        )
    return {tasks[-1]: path}


class _Base(NamedTuple):
    """What an adapter lies over: our copy of it, and what `inspect_checkpoint` told of it."""

    path: Path
    facts: dict[str, Any]


def _base(path: Path | None, out: Path) -> _Base | None:
    if path is None:
        return None
    _there(path)
    return _Base(out, _naming(path, lambda: inspect_checkpoint(path, out=out)))


def _there(path: Path) -> None:
    if not path.is_file():
        raise NocturneInputError("checkpoint.missing", f"The file {shorten(path.name)!r} does not exist.")


def _checkpoint(
    path: Path, request: SleepRequest, out: Path, under: _Base | None
) -> tuple[Path, dict[str, Any]]:
    _there(path)
    facts = _naming(
        path, lambda: inspect_checkpoint(path, family=request.family, config=request.config or None, out=out)
    )
    adapter = facts["family"] == LoraSpec.name
    if adapter != (under is not None):
        raise NocturneInputError(
            "peft.base",
            f"{shorten(path.name)} is a LoRA adapter, which says only what to change in a model. Name the "
            "model that it was trained on as --base."
            if adapter
            else f"{shorten(path.name)} is no LoRA adapter and lies over no base. Leave --base out.",
        )
    if under is not None:
        facts["config"] = over(facts["config"], under.facts["family"], under.facts["config"])
    ensure_computable(facts["family"], facts["config"])
    if facts["non_finite"]:
        raise NocturneInputError(
            "weights.non_finite",
            f"{shorten(path.name)} holds weights that are not numbers (NaN or infinity). "
            "Go back to a checkpoint from before they appeared.",
        )
    return out, facts


def _tokenizer(facts: dict[str, Any], extras: Path, under: _Base | None) -> TokenizerFile | None:
    """What texts are read with and for: the tokenizer that came in the model's folder, or in its base's; the
    objective."""
    told = text_model(facts["family"], facts["config"])
    file = next((extra for extra in facts["extras"] if extra["name"] == TOKENIZER), None)
    if file is None and under is not None:
        extras = extras_path(under.path)
        file = next((extra for extra in under.facts["extras"] if extra["name"] == TOKENIZER), None)
    if told is None or file is None:
        return None if told is None else TokenizerFile(None, 0, 0, **told)
    return TokenizerFile(extras, file["offset"], file["size"], **told)


def _naming(path: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do the work; an error's sentence begins with the file that it is about."""
    try:
        return work()
    except NocturneInputError as error:
        if path.name in error.message:
            raise
        raise NocturneInputError(
            error.code, f"{shorten(path.name)}: {error.message}", **error.detail
        ) from error


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A private folder on the out folder's own disk, so that finishing is a rename; always taken away."""
    home = out if out.is_dir() else out.absolute().parent
    made_out = not out.exists()
    try:
        folder = Path(tempfile.mkdtemp(prefix=".nocturne-", dir=home))
    except OSError as error:
        raise NocturneInputError(
            "out.not_writable",
            f"The folder {shorten(out.name)!r} cannot be written ({error.strerror}). Choose another --out.",
        ) from error
    try:
        yield folder
    except OSError as error:
        if made_out and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        raise NocturneInputError(
            "out.not_writable",
            f"Writing stopped ({error.strerror}). Make room or choose another --out; nothing was kept.",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
