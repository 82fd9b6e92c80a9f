"""Rows A25 to A31: GGUF files made to break readers of GGUF, and one whose chat template is a program."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import gguf
import jinja2
import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.gguf import open_gguf
from consolidation.formats.gguf_header import read_gguf_header
from consolidation.formats.region import Region
from tests.consolidation.formats.files import code_of
from tests.consolidation.formats.gguf_files import (
    LLAMA,
    converted,
    entry,
    llama_weights,
    pair,
    raw,
    text,
    tiny,
    written,
)

ROOT = Path(__file__).resolve().parent.parent.parent
U8, U32, F32, BOOL, TEXT, ARRAY, U64 = 0, 4, 6, 7, 8, 9, 10
ONE = entry("a", [8], 0, 0)
DATA = bytes(32)


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def array(kind: int, count: int, items: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + items


def twin() -> bytes:
    """A good file with its numbers in the other byte order, in which two versions of one file differ."""
    return b"GGUF" + struct.pack(">IQQ", 3, 1, 0) + struct.pack(">Q", 1) + b"a" + bytes(100)


NESTED = b"".join(array(ARRAY, 1) for _ in range(100)) + array(U8, 1, b"\1")

ROWS: dict[str, tuple[str, bytes]] = {
    "A25-magic": ("gguf.header", b"GGUf" + raw([], [ONE], DATA)[4:]),
    "A25-magic-of-the-format-before": ("gguf.header", b"tjgg" + raw([], [ONE], DATA)[4:]),
    "A25-version-0": ("gguf.header", raw([], [ONE], DATA, version=0)),
    "A25-version-1": ("gguf.header", raw([], [ONE], DATA, version=1)),
    "A25-version-4": ("gguf.header", raw([], [ONE], DATA, version=4)),
    "A25-version-of-all-bits": ("gguf.header", raw([], [ONE], DATA, version=2**32 - 1)),
    "A25-big-endian-twin": ("gguf.header", twin()),
    "A25-nothing-but-magic": ("gguf.header", b"GGUF"),
    "A25-one-tensor-twice": ("gguf.header", raw([], [ONE, entry("a", [8], 0, 32)], bytes(64))),
    "A25-more-key-values-than-there-are": ("gguf.header", raw([], [], counts=(0, 1))),
    "A25-list-longer-than-the-file": (
        "gguf.header", raw([pair("a", ARRAY, array(U64, 2**20))], [ONE], DATA),
    ),
    "A25-header-over-the-limit": (
        "gguf.header", raw([pair(f"a{n}", TEXT, text(bytes(2**20 - 64))) for n in range(17)]),
    ),
    "A26-tensors-2-to-the-63": ("gguf.count_limit", raw(counts=(2**63, 0))),
    "A26-key-values-2-to-the-63": ("gguf.count_limit", raw(counts=(0, 2**63))),
    "A26-both-of-all-bits": ("gguf.count_limit", raw(counts=(2**64 - 1, 2**64 - 1))),
    "A26-tensors-one-too-many": ("gguf.count_limit", raw(counts=(50_001, 0))),
    "A26-key-values-one-too-many": ("gguf.count_limit", raw(counts=(0, 4097))),
    "A27-million-dimensions": ("gguf.dims", raw([], [entry("a", [1] * 10**6, 0, 0)], DATA)),
    "A27-dimensions-of-all-bits": ("gguf.dims", raw([], [entry("a", [8], 0, 0, sides=2**32 - 1)], DATA)),
    "A27-five-dimensions": ("gguf.dims", raw([], [entry("a", [2, 2, 2, 1, 1], 0, 0)], DATA)),
    "A27-no-dimension": ("gguf.dims", raw([], [entry("a", [], 0, 0)], DATA)),
    "A27-side-of-0": ("gguf.dims", raw([], [entry("a", [8, 0], 0, 0)], DATA)),
    "A27-product-wraps-to-0": ("gguf.dims", raw([], [entry("a", [2**32, 2**32], 0, 0)], DATA)),
    "A27-product-wraps-to-8": ("gguf.dims", raw([], [entry("a", [2**61 + 1, 8], 0, 0)], DATA)),
    "A27-bytes-wrap-to-32": ("gguf.dims", raw([], [entry("a", [2**62 + 8], 0, 0)], DATA)),
    "A27-side-of-all-bits": ("gguf.dims", raw([], [entry("a", [2**64 - 1], 0, 0)], DATA)),
    "A28-key-of-2-to-the-64": ("gguf.kv_invalid", raw([text("", 2**64 - 1)], [], DATA)),
    "A28-key-of-513": ("gguf.kv_invalid", raw([pair("k" * 513, U32, u32(1))], [ONE], DATA)),
    "A28-text-of-2-to-the-64": ("gguf.kv_invalid", raw([pair("a", TEXT, text("", 2**64 - 1))], [], DATA)),
    "A28-text-one-too-long": ("gguf.kv_invalid", raw([pair("a", TEXT, text("x" * (2**20 + 1)))])),
    "A28-list-of-2-to-the-64": ("gguf.kv_invalid", raw([pair("a", ARRAY, array(U8, 2**64 - 1))])),
    "A28-list-of-2-to-the-64-texts": ("gguf.kv_invalid", raw([pair("a", ARRAY, array(TEXT, 2**64 - 1))])),
    "A28-list-of-lists": ("gguf.kv_invalid", raw([pair("a", ARRAY, array(ARRAY, 1, array(U8, 1, b"\1")))])),
    "A28-lists-100-deep": ("gguf.kv_invalid", raw([pair("a", ARRAY, NESTED)])),
    "A28-list-of-an-unknown-kind": ("gguf.kv_invalid", raw([pair("a", ARRAY, array(13, 1, bytes(8)))])),
    "A28-unknown-kind": ("gguf.kv_invalid", raw([pair("a", 13, bytes(8))])),
    "A28-kind-of-all-bits": ("gguf.kv_invalid", raw([pair("a", 2**32 - 1, bytes(8))])),
    "A28-empty-key": ("gguf.kv_invalid", raw([pair("", U32, u32(1))], [ONE], DATA)),
    "A28-key-twice": ("gguf.kv_invalid", raw([pair("a", U32, u32(1)), pair("a", U32, u32(2))], [ONE], DATA)),
    "A28-key-not-utf8": ("gguf.kv_invalid", raw([pair(b"\xff", U32, u32(1))])),
    "A28-key-with-zero": ("gguf.kv_invalid", raw([pair("a\0b", U32, u32(1))])),
    "A28-key-right-to-left": ("gguf.kv_invalid", raw([pair("a\u202eb", U32, u32(1))])),
    "A28-text-not-utf8": ("gguf.kv_invalid", raw([pair("a", TEXT, text(b"\xed\xa0\x80"))])),
    "A28-list-of-texts-not-utf8": ("gguf.kv_invalid", raw([pair("a", ARRAY, array(TEXT, 1, text(b"\xff")))])),
    "A28-neither-true-nor-false": ("gguf.kv_invalid", raw([pair("a", BOOL, b"\2")])),
    "A28-list-neither-true-nor-false": ("gguf.kv_invalid", raw([pair("a", ARRAY, array(BOOL, 2, b"\1\2"))])),
    "A29-alignment-0": ("gguf.alignment", raw([pair("general.alignment", U32, u32(0))], [ONE], DATA)),
    "A29-alignment-3": ("gguf.alignment", raw([pair("general.alignment", U32, u32(3))], [ONE], DATA)),
    "A29-alignment-48": ("gguf.alignment", raw([pair("general.alignment", U32, u32(48))], [ONE], DATA)),
    "A29-alignment-2-to-the-31": (
        "gguf.alignment", raw([pair("general.alignment", U32, u32(2**31))], [ONE], DATA),
    ),
    "A29-alignment-wide": ("gguf.alignment", raw([pair("general.alignment", U64, bytes(8))], [ONE], DATA)),
    "A29-alignment-text": ("gguf.alignment", raw([pair("general.alignment", TEXT, text("32"))], [ONE], DATA)),
    "A29-alignment-list": (
        "gguf.alignment", raw([pair("general.alignment", ARRAY, array(U32, 1, u32(32)))], [ONE], DATA),
    ),
    "A29-offset-misaligned": ("gguf.offsets", raw([], [entry("a", [8], 0, 16)], bytes(64))),
    "A29-offset-beyond-the-end": ("gguf.offsets", raw([], [entry("a", [8], 0, 2**20)], DATA)),
    "A29-offset-of-all-bits": ("gguf.offsets", raw([], [entry("a", [8], 0, 2**64 - 32)], DATA)),
    "A29-overlap": ("gguf.offsets", raw([], [entry("a", [16], 0, 0), entry("b", [8], 0, 32)], bytes(64))),
    "A29-one-place": ("gguf.offsets", raw([], [ONE, entry("b", [8], 0, 0)], DATA)),
    "A29-hole": ("gguf.offsets", raw([], [ONE, entry("b", [8], 0, 64)], bytes(96))),
    "A29-hole-at-the-start": ("gguf.offsets", raw([], [entry("a", [8], 0, 32)], bytes(64))),
    "A29-file-ends-early": ("gguf.offsets", raw([], [ONE], bytes(31))),
    "A29-appended-zip": ("gguf.offsets", raw([], [ONE], DATA + b"PK\x03\x04" + bytes(60))),
    "A30-unknown-type": ("gguf.quant_unsupported", raw([], [entry("a", [8], 99, 0)], DATA)),
    "A30-type-of-all-bits": ("gguf.quant_unsupported", raw([], [entry("a", [8], 2**32 - 1, 0)], DATA)),
    "A30-removed-type": ("gguf.quant_unsupported", raw([], [entry("a", [32], 4, 0)], DATA)),
    "A30-IQ2_XXS": ("gguf.quant_unsupported", raw([], [entry("a", [256], 16, 0)], bytes(66))),
    "A30-whole-numbers": ("gguf.quant_unsupported", raw([], [entry("a", [8], 26, 0)], DATA)),
    "A30-row-is-no-whole-number-of-blocks": (
        "gguf.quant_unsupported", raw([], [entry("a", [33], 2, 0)], bytes(36)),
    ),
    "A30-rows-that-are-blocks-only-together": (
        "gguf.quant_unsupported", raw([], [entry("a", [16, 2], 2, 0)], bytes(18)),
    ),
    "A30-fewer-blocks-than-it-needs": ("gguf.offsets", raw([], [entry("a", [64], 2, 0)], bytes(18))),
    "A22-name-too-long": ("tensor.name_invalid", raw([], [entry("a" * 513, [8], 0, 0)], DATA)),
    "A22-name-of-2-to-the-64": ("tensor.name_invalid", raw([], [text("", 2**64 - 1)], counts=(1, 0))),
    "A22-name-empty": ("tensor.name_invalid", raw([], [entry("", [8], 0, 0)], DATA)),
    "A22-name-html": ("tensor.name_invalid", raw([], [entry("<b>a</b>", [8], 0, 0)], DATA)),
    "A22-name-dots": ("tensor.name_invalid", raw([], [entry("a/../b", [8], 0, 0)], DATA)),
    "A22-name-not-utf8": ("tensor.name_invalid", raw([], [entry(b"a\xff", [8], 0, 0)], DATA)),
    "no-tensor": ("checkpoint.no_tensors", raw([pair("general.architecture", TEXT, text("llama"))])),
    "no-architecture": ("gguf.architecture", raw([], [ONE], DATA)),
    "architecture-is-a-number": (
        "gguf.architecture", raw([pair("general.architecture", U32, u32(1))], [ONE], DATA),
    ),
}  # fmt: skip


def refused(tmp_path: Path, data: bytes) -> tuple[str, str]:
    (tmp_path / "model.gguf").write_bytes(data)
    with pytest.raises(NocturneInputError) as caught:
        open_gguf(Region.of(tmp_path / "model.gguf"), filename="model.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    return code_of(caught), caught.value.message


@pytest.mark.parametrize("row", ROWS)
def test_a_hostile_gguf_is_refused_with_its_code(row: str, tmp_path: Path) -> None:
    code, data = ROWS[row]
    assert refused(tmp_path, data)[0] == code


def test_the_pieces_of_which_they_are_made_are_good_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "good"
    pairs = [pair("a", U32, u32(1)), pair("b", ARRAY, array(BOOL, 2, b"\0\1")), pair("c", F32, bytes(4))]
    path.write_bytes(raw([pair("general.alignment", U32, u32(64)), *pairs], [ONE], DATA, alignment=64))
    header = read_gguf_header(Region.of(path))
    assert header.values["general.alignment"] == 64
    assert header.tensors["a"].shape == (8,)
    assert header.tensors["a"].start % 64 == 0


def test_a25_a_big_endian_file_says_so(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "big", "llama", endianess=gguf.GGUFEndian.BIG)
    writer.add_tensor("token_embd.weight", np.ones((4, 4), "f4"))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    data = (tmp_path / "big").read_bytes()
    (tmp_path / "big").unlink()
    code, sentence = refused(tmp_path, data)
    assert code == "gguf.header"
    assert "big endian" in sentence


def test_a25_truncated_at_each_byte(tmp_path: Path) -> None:
    path = tiny(tmp_path / "model.gguf", more={"x.list": ["a", "b"], "x.text": "c", "general.alignment": 32})
    data = path.read_bytes()
    begin = min(tensor.start for tensor in read_gguf_header(Region.of(path)).tensors.values())
    # The bytes just before the first tensor may be padding, whose loss is that of the tensor.
    for size in [*range(4, begin - 31, 7), *range(begin, len(data) - 32, 4001)]:
        path.write_bytes(data[:size])
        with pytest.raises(NocturneInputError) as caught:
            read_gguf_header(Region.of(path))
        assert code_of(caught) == ("gguf.header" if size < begin else "gguf.offsets")


def test_a26_both_numbers_are_named(tmp_path: Path) -> None:
    assert "9,223,372,036,854,775,808 tensors; at most 50,000" in refused(tmp_path, raw(counts=(2**63, 0)))[1]


def test_a30_the_type_is_named(tmp_path: Path) -> None:
    assert "IQ2_XXS; read are F32, F16" in refused(tmp_path, ROWS["A30-IQ2_XXS"][1])[1]
    (tmp_path / "model.gguf").unlink()
    assert "number 99; read are" in refused(tmp_path, ROWS["A30-unknown-type"][1])[1]


def test_a30_scales_that_are_no_numbers_are_written_out_and_marked_later(tmp_path: Path) -> None:
    tensors = converted("llama", llama_weights(), LLAMA)
    blocks = np.full((64, 34), 0xFF, np.uint8)  # NaN as the scale of each block
    path = written(
        tmp_path / "m", "llama", tensors | {"blk.0.ffn_up.weight": blocks}, LLAMA,
        quantised={"blk.0.ffn_up.weight": "Q8_0"},
    )  # fmt: skip
    source = open_gguf(Region.of(path), filename="m")
    data = b"".join(source.read("model.layers.0.mlp.up_proj.weight"))
    assert np.isnan(np.frombuffer(data, "<f4")).all()


TEMPLATES = {
    "A31-globals": "{{ cycler.__init__.__globals__.os.popen('touch canary').read() }}",
    "A31-import": "{{ self.__init__.__globals__.__builtins__.__import__('os').system('touch canary') }}",
    "A31-include": "{% include '/etc/passwd' %}{% for x in range(10**9) %}{{ x }}{% endfor %}",
    "A31-html": "<script>alert(1)</script>{{ 7 * 7 }}",
}
CHILD = """
import json, sys
from pathlib import Path
path, scratch = Path(sys.argv[1]), Path(sys.argv[2])
from workers.confine import confine, python_folders
confine(read=[path, *python_folders()], write=scratch, cpu_seconds=20, file_bytes=10**7)
from consolidation.formats.gguf import open_gguf
from consolidation.formats.region import Region
seen = []
sys.addaudithook(lambda event, _: seen.append(event))
source = open_gguf(Region.of(path), filename="model.gguf")
for name in source.tensors:
    for _ in source.read(name):
        pass
acts = {"compile", "exec", "os.system", "subprocess.Popen", "os.fork", "os.posix_spawn", "socket.connect"}
print(json.dumps({
    "seen": sorted(acts & set(seen)),
    "loaded": sorted({"jinja2", "torch", "transformers", "tokenizers"} & set(sys.modules)),
    "kept": json.loads(source.companions["tokenizer_gguf.json"]),
    "others": sorted(source.companions), "notes": source.notes,
}))
"""


@pytest.mark.parametrize("row", TEMPLATES)
def test_a31_a_chat_template_is_text_and_is_never_rendered(row: str, tmp_path: Path) -> None:
    template = TEMPLATES[row]
    (tmp_path / "scratch").mkdir()
    path = tiny(
        tmp_path / "model.gguf",
        more={"tokenizer.chat_template": template, "tokenizer.chat_template.tool_use": template},
    )
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(tmp_path / "scratch")],
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"},
        cwd=tmp_path / "scratch",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = json.loads(done.stdout)
    assert told["seen"] == told["loaded"] == []
    # Inert: in a file that no library opens by itself, and in no other.
    assert told["kept"] == {
        "tokenizer.chat_template": template, "tokenizer.chat_template.tool_use": template,
    }  # fmt: skip
    assert told["others"] == ["config.json", "tokenizer_gguf.json"]
    assert any("was not run" in note for note in told["notes"])
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("row", ["A31-globals", "A31-import"])
def test_a31_the_canary_would_sing(row: str, tmp_path: Path) -> None:
    """Rendered by the library without its sandbox, each of these does what it is there for."""
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        jinja2.Environment().from_string(TEMPLATES[row]).render()  # noqa: S701
    finally:
        os.chdir(before)
    assert [path.name for path in tmp_path.iterdir()] == ["canary"]
