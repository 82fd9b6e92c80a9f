"""Checks a checkpoint against its family and writes our own copy of it, tensor by tensor in flat memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from consolidation.errors import shorten
from consolidation.families.registry import (
    FAMILIES,
    FamilySpec,
    check_shapes,
    family_spec,
    is_counter,
    is_statistic,
)
from consolidation.formats import limits
from consolidation.formats.dtypes import FLOATS, has_non_finite
from consolidation.formats.output import DigestWriter, new_file
from consolidation.formats.refusal import refuse
from consolidation.formats.safetensors import Header, header_bytes, read_header
from consolidation.formats.sniff import refuse_kind, sniff

FAMILY_KEY: Final = "nocturne.family"
CONFIG_KEY: Final = "nocturne.config"


def inspect_checkpoint(
    path: Path | str,
    *,
    family: str | None = None,
    config: Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    filename: str | None = None,
) -> dict[str, Any]:
    """Read, check and re-encode one safetensors checkpoint. What is stored is what this function wrote.

    The description is taken from the file's metadata; without any, from the tensors as far as they tell; what
    the caller gives (the form) fills in and overrides single fields.

    Args:
        path: the file as it came; only its content is believed.
        family: a name from the registry, or None to take it from the file.
        config: fields of the family's config.
        out: where our copy goes; None only checks.
        filename: the person's name for the file, for sentences.

    Returns:
        {"family", "config", "tensors": [{"name", "dtype", "shape"}], "parameters", "non_finite", "sha256",
        "size"}; sha256 and size are those of our copy, or of the file itself without one.

    Raises:
        NocturneInputError: with a documented code (`refusal.CODES`, and `checkpoint.*` of the families).
    """
    path = Path(path)
    kind = sniff(path)
    if kind not in {"safetensors", "unknown"}:
        raise refuse_kind(kind, wanted="a safetensors checkpoint", filename=filename or path.name)
    header = read_header(path)
    if not header.tensors:
        raise refuse("checkpoint.no_tensors", "The file holds no tensor at all. Save the model's state_dict.")
    spec, described = describe(header, family=family, config=config)
    check_shapes(spec, described, header.shapes())
    for name, entry in header.tensors.items():
        if is_counter(name) and entry.dtype == "I64" and entry.shape == ():
            continue
        if entry.dtype not in FLOATS:
            raise refuse(
                "tensor.dtype",
                f"Tensor {shorten(name)} is {entry.dtype}; the weights of this family are floating-point "
                "numbers.",
            )
    metadata = {**header.metadata, FAMILY_KEY: spec.name, CONFIG_KEY: json.dumps(described, sort_keys=True)}
    if out is None:
        target = DigestWriter(None)
        non_finite = _copy(path, header, None, target)
    else:
        prefix = header_bytes(
            {name: (entry.dtype, entry.shape) for name, entry in header.tensors.items()}, metadata
        )
        with new_file(Path(out)) as target:
            non_finite = _copy(path, header, prefix, target)
    return {
        "family": spec.name,
        "config": described,
        "tensors": [
            {"name": name, "dtype": entry.dtype, "shape": list(entry.shape)}
            for name, entry in header.tensors.items()
        ],
        "parameters": sum(e.elements for name, e in header.tensors.items() if not is_statistic(name)),
        "non_finite": non_finite,
        "sha256": target.sha256(),
        "size": target.size,
    }


def describe(
    header: Header, *, family: str | None, config: Mapping[str, Any] | None
) -> tuple[FamilySpec, dict[str, Any]]:
    """Which family a file belongs to, and its full config.

    Raises:
        NocturneInputError: `checkpoint.family_unknown`, `checkpoint.config_missing`, `checkpoint.metadata`,
            or what the family says of the config.
    """
    told = {key: value for key, value in dict(config or {}).items() if value not in (None, "")}
    name = family or header.metadata.get(FAMILY_KEY)
    described = CONFIG_KEY in header.metadata and name == header.metadata.get(FAMILY_KEY, name)
    if described:
        spec = _known(name)
        base = _config_json(header.metadata[CONFIG_KEY])
    else:
        spec, base = _infer(header, name, told)
    # the form shows the fields of every family: those of the others are not for this one
    others = {field["name"] for other in FAMILIES.values() for field in other.fields}
    own = {field["name"] for field in spec.fields}
    full = {**base, **{key: value for key, value in told.items() if key in own or key not in others}}
    for field in spec.fields:
        # a description may leave out what has a usual value; tensors alone tell nothing of it
        if field["name"] not in full and not (described and "default" in field):
            raise refuse(
                "checkpoint.config_missing",
                f"The file does not tell the {field['label'].lower()} of this {spec.title.lower()}. "
                f"Say it in the form: {_answers(field)}.",
                field=field["name"],
            )
    return spec, spec.validate_config(full)


def _known(name: str | None) -> FamilySpec:
    if name is not None and name in FAMILIES:
        return family_spec(name)
    said = f"says that its family is {shorten(name)}" if name else "does not say what model it is"
    raise refuse(
        "checkpoint.family_unknown",
        f"The file {said}. Nocturne knows: {_families()}. Save it with one of these as nocturne.family.",
    )


def _answers(field: Mapping[str, Any]) -> str:
    return ", ".join(field["choices"]) if "choices" in field else f"for example {field['placeholder']}"


def _infer(header: Header, name: str | None, told: Mapping[str, Any]) -> tuple[FamilySpec, dict[str, Any]]:
    candidates = [_known(name)] if name else list(FAMILIES.values())
    for spec in candidates:
        base = spec.infer_config(header.shapes())
        if base is not None:
            return spec, dict(base)
    if name and {field["name"] for field in candidates[0].fields} <= set(told):
        # all is told, so the tensors need not be recognised; their shapes are compared all the same
        return candidates[0], {}
    raise refuse(
        "checkpoint.family_unknown",
        f"The {len(header.tensors):,} tensors of this file (the first is "
        f"{shorten(next(iter(header.tensors)))}) do not "
        f"look like any family that Nocturne knows: {_families()}. Name the model in the file's metadata "
        "(nocturne.family and nocturne.config), or choose another file.",
        families=list(FAMILIES),
    )


def _families() -> str:
    return ", ".join(f"{spec.name} ({spec.title})" for spec in FAMILIES.values())


def _config_json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise refuse(
            "checkpoint.metadata",
            "The file's nocturne.config is not a JSON object. Save the checkpoint again with a correct one.",
        )
    return value


def _copy(path: Path, header: Header, prefix: bytes | None, target: DigestWriter) -> bool:
    """Pass the file on (`prefix`, if given, replaces its header); True if a NaN or an infinity went by."""
    non_finite = False
    with path.open("rb") as source:
        first = source.read(header.data_start)
        target.write(first if prefix is None else prefix)
        for name, entry in header.tensors.items():
            for place in range(entry.start, entry.end, limits.CHUNK):
                piece = _read(source, min(entry.end - place, limits.CHUNK), name)
                non_finite = non_finite or has_non_finite(entry.dtype, piece)
                target.write(piece)
    return non_finite


def _read(source: BinaryIO, count: int, name: str) -> bytes:
    piece = source.read(count)
    if len(piece) != count:
        raise refuse(
            "tensor.size_mismatch", f"The file changed while tensor {shorten(name)} was read. Try again."
        )
    return piece
