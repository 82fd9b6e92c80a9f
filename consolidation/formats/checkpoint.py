"""Checks a checkpoint against its family and writes our own copy of it, tensor by tensor in flat memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from consolidation.errors import shorten
from consolidation.families.described import Described
from consolidation.families.registry import (
    FAMILIES,
    FamilySpec,
    check_shapes,
    described_family,
    family_spec,
    is_counter,
    is_statistic,
)
from consolidation.formats.dtypes import FLOATS, ITEM_BYTES, has_non_finite
from consolidation.formats.fresh_head import with_head
from consolidation.formats.open_weights import ensure_within, open_weights
from consolidation.formats.output import DigestWriter, new_file
from consolidation.formats.refusal import refuse
from consolidation.formats.region import Region
from consolidation.formats.safetensors import check_name, header_bytes
from consolidation.formats.settling import settled

if TYPE_CHECKING:
    from consolidation.formats.fresh_head import Head
    from consolidation.formats.tensor_source import TensorShape, TensorSource

FAMILY_KEY: Final = "nocturne.family"
CONFIG_KEY: Final = "nocturne.config"


def inspect_checkpoint(
    path: Path | str,
    *,
    family: str | None = None,
    config: Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    filename: str | None = None,
    limit_bytes: int = 2**62,
    digest: bool = True,
    strict: bool = False,
    head: Head | None = None,
) -> dict[str, Any]:
    """Read, check and re-encode one checkpoint of any format. What is stored is what this function wrote.

    The description is taken from the file (its metadata, its config.json); without any, from the tensors as
    far as they tell; what the caller gives (the form) fills in and overrides single fields.

    Args:
        path: the file as it came; only its content is believed.
        family: a name from the registry, or None to take it from the file.
        config: fields of the family's config.
        out: where our copy goes; None only checks. Companion files (config.json, tokenizer.json) go beside
            it, all in one, under the same name with `.extras`.
        filename: the person's name for the file, for sentences.
        limit_bytes: the most that our copy may take, and that unpacking may write.
        digest: False where whoever gets the copy digests it anyway.
        strict: refuse a folder that contains programs or pickles, instead of leaving them out.
        head: a new head that the model is to get.

    Returns:
        {"format", "family", "config", "tensors": [{"name", "dtype", "shape"}], "parameters", "non_finite",
        "extras": [{"name", "offset", "size"}], "notes", "sha256", "size"}; the last two are those of our
        copy, whether it was written or not.

    Raises:
        NocturneInputError: with a documented code (`refusal.CODES`, and `checkpoint.*` of the families).
    """
    path, target = Path(path), Path(out) if out is not None else None
    with ExitStack() as stack:
        spool = target or Path(stack.enter_context(TemporaryDirectory())) / "out"
        source = open_weights(
            Region.of(path),
            filename=filename or path.name,
            spool=spool,
            limit_bytes=limit_bytes,
            stack=stack,
            strict=strict,
        )
        if not source.tensors:
            raise refuse(
                "checkpoint.no_tensors", "The file holds no tensor at all. Save the model's state_dict."
            )
        ensure_within(source, limit_bytes)
        for name in source.tensors:
            check_name(name)
        spec, described = describe(source, family=family, config=config)
        if isinstance(spec, Described):
            source = settled(source, spec, described)
        check_shapes(spec, described, source.shapes())
        _check_numbers(source)
        if head is not None:
            source, described = with_head(source, spec, described, head)
            check_shapes(spec, described, source.shapes())
        metadata = {
            **source.metadata,
            FAMILY_KEY: spec.name,
            CONFIG_KEY: json.dumps(described, sort_keys=True),
        }
        if target is None:
            written = DigestWriter(None, digest=digest)
            non_finite, extras = _copy(source, metadata, written), _companions(source, None)
        else:
            with new_file(target, digest=digest) as written:
                non_finite, extras = _copy(source, metadata, written), _companions(source, target)
    return {
        "format": source.format,
        "family": spec.name,
        "config": described,
        "tensors": [
            {"name": name, "dtype": entry.dtype, "shape": list(entry.shape)}
            for name, entry in _ordered(source)
        ],
        "parameters": sum(e.elements for name, e in source.tensors.items() if not is_statistic(name)),
        "non_finite": non_finite,
        "extras": extras,
        "notes": list(source.notes),
        "sha256": written.sha256(),
        "size": written.size,
    }


def extras_path(out: Path) -> Path:
    """Where the companion files of the copy `out` are."""
    return out.with_name(out.name + ".extras")


def _check_numbers(source: TensorSource) -> None:
    for name, entry in source.tensors.items():
        if is_counter(name) and entry.dtype == "I64" and entry.shape == ():
            continue
        if entry.dtype not in FLOATS:
            raise refuse(
                "tensor.dtype",
                f"Tensor {shorten(name)} is {entry.dtype}; the weights of this family are floating-point "
                "numbers.",
            )


def _ordered(source: TensorSource) -> list[tuple[str, TensorShape]]:
    """Wide numbers first, as the safetensors library writes: each begins at a multiple of its own width."""
    return sorted(source.tensors.items(), key=lambda item: -ITEM_BYTES[item[1].dtype])


def _companions(source: TensorSource, out: Path | None) -> list[dict[str, Any]]:
    """Write the small files one after the other, and say where each begins."""
    if not source.companions:
        return []
    extras, place = [], 0
    with ExitStack() as stack:
        if out is not None:
            target = stack.enter_context(new_file(extras_path(out), digest=False))
        else:
            target = DigestWriter(None, digest=False)
        for name, content in sorted(source.companions.items()):
            target.write(content)
            extras.append({"name": name, "offset": place, "size": len(content)})
            place += len(content)
    return extras


def describe(
    header: TensorSource, *, family: str | None, config: Mapping[str, Any] | None
) -> tuple[FamilySpec, dict[str, Any]]:
    """Which family a file belongs to, and its full config. A config.json (or a GGUF's table) says it all.

    Raises:
        NocturneInputError: `checkpoint.family_unknown`, `checkpoint.config_missing`, `checkpoint.metadata`,
            or what the family says of the config.
    """
    if header.config is not None:
        by_config = described_family(header.config)
        layout = by_config.layout(header.config, header.shapes())
        return by_config, by_config.validate_config({**header.config, **layout})
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


def _infer(
    header: TensorSource, name: str | None, told: Mapping[str, Any]
) -> tuple[FamilySpec, dict[str, Any]]:
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
        "(nocturne.family and nocturne.config), upload its whole folder with config.json as a zip, or choose "
        "another file.",
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


def _copy(source: TensorSource, metadata: Mapping[str, str], target: DigestWriter) -> bool:
    """Write header and tensors; True if a NaN or an infinity went by."""
    ordered = _ordered(source)
    target.write(header_bytes({name: (entry.dtype, entry.shape) for name, entry in ordered}, metadata))
    non_finite = False
    for name, entry in ordered:
        left, rest = entry.size, b""
        for piece in source.read(name):
            left -= len(piece)
            target.write(piece)
            if non_finite:
                continue
            # A reader may cut a number in two.
            whole = rest + bytes(piece) if rest else piece
            most = len(whole) - len(whole) % ITEM_BYTES[entry.dtype]
            non_finite = has_non_finite(entry.dtype, memoryview(whole)[:most])
            rest = bytes(whole[most:])
        if left:
            raise refuse(
                "tensor.size_mismatch",
                f"Tensor {shorten(name)} gave {entry.size - left:,} bytes; its shape and format need "
                f"{entry.size:,}. Save or copy the file again.",
            )
    return non_finite
