"""Rows A35 and A39 to A45: models' folders that ask for code, lie about their shards, or never end.

Each is opened the whole way, as an upload is, from a zip and from a tar. Whatever asks to be run or opened
would leave a mark: an audit hook listens, and the canary is a file.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from tests.consolidation.formats.files import code_of
from tests.consolidation.formats.folders import (
    BERT,
    GPT2,
    LLAMA,
    TOKENIZER,
    Files,
    extras,
    inspected,
    js,
    model,
    numbers,
    packed,
    safe,
    sharded,
    torch_file,
)

KINDS = ("zip", "tar-gnu")
_RUN = ("exec", "compile", "import", "os.system", "subprocess.Popen", "socket.connect", "pickle.find_class")
_seen: list[str] = []
_listening = [False]


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening[0] and event in _RUN:
        _seen.append(f"{event} {str(arguments)[:200]}")


sys.addaudithook(_hook)


def opened(tmp_path: Path, data: bytes, **options: Any) -> dict[str, Any]:
    """Inspected while the hook listens; nothing may be imported, compiled or run by it."""
    _seen.clear()
    _listening[0] = True
    try:
        return inspected(tmp_path, data, **options)
    finally:
        _listening[0] = False
        assert _seen == []


@pytest.fixture(scope="module", autouse=True)
def _everything_is_imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    inspected(tmp_path_factory.mktemp("warm"), model(LLAMA) | {"tokenizer.json": js(TOKENIZER)})
    inspected(
        tmp_path_factory.mktemp("warm"),
        {"config.json": js(GPT2), "pytorch_model.bin": torch_file(numbers(GPT2))},
    )


def refused(tmp_path: Path, files: Files, kind: str, **options: Any) -> str:
    with pytest.raises(NocturneInputError) as caught:
        opened(tmp_path, packed(files, kind), **options)
    return code_of(caught)


def deep(levels: int) -> bytes:
    return b'{"model_type": "llama", "x": ' + b"[" * levels + b"]" * levels + b"}"


LLAMA_WEIGHTS = {"model.safetensors": safe(numbers(LLAMA))}
CODE = {"auto_map": {"AutoModel": "modeling_evil.Evil"}}
CONFIGS: dict[str, tuple[str, bytes]] = {
    "A39-auto-map": ("hf.remote_code", js(LLAMA | CODE)),
    "A39-auto-map-below": ("hf.remote_code", js(LLAMA | {"text_config": {"deep": [CODE]}})),
    "A39-trust-remote-code": ("hf.remote_code", js(LLAMA | {"trust_remote_code": True})),
    "A39-attention-internal": ("hf.remote_code", js(LLAMA | {"_attn_implementation_internal": "evil/x"})),
    "A39-attention-from-a-repository": ("hf.remote_code", js(LLAMA | {"_attn_implementation": "evil/x"})),
    "A39-custom-pipelines": ("hf.remote_code", js(LLAMA | {"custom_pipelines": {"x": {"impl": "e.E"}}})),
    "A39-unknown-architecture": ("checkpoint.family_unknown", js(LLAMA | {"model_type": "evil"})),
    "A39-architecture-is-a-list": ("checkpoint.family_unknown", js(LLAMA | {"model_type": ["llama"]})),
    "A39-no-architecture": ("checkpoint.family_unknown", js({"hidden_size": 16})),
    "A39-architectures-that-are-code": (
        "hf.config_range", js(LLAMA | {"architectures": ["__import__('os').system('true')"]}),
    ),
    "A40-hidden-size": ("hf.config_range", js(LLAMA | {"hidden_size": 10**9})),
    "A40-layers": ("hf.config_range", js(LLAMA | {"num_hidden_layers": 10**6})),
    "A40-negative": ("hf.config_range", js(LLAMA | {"vocab_size": -32})),
    "A40-text": ("hf.config_range", js(LLAMA | {"hidden_size": "16"})),
    "A40-infinite": ("hf.json", js(LLAMA).replace(b"24", b"1e999")),
    "A40-nan": ("hf.json", js(LLAMA).replace(b"24", b"NaN")),
    "A40-digits": ("hf.json", js(LLAMA).replace(b"24", b"9" * 5000)),
    "A40-deep": ("hf.config_range", deep(100)),
    "A40-deeper": ("hf.config_range", deep(10_000)),
    "A40-large": ("hf.config_range", js(LLAMA | {"x": "y" * 5_000_000})),
    "A40-twice": ("hf.json", js(LLAMA)[:-1] + b', "hidden_size": 16}'),
    "A40-a-list": ("hf.json", b"[1]"),
    "A40-cut": ("hf.json", js(LLAMA)[:-5]),
    "A40-utf16": ("hf.json", json.dumps(LLAMA).encode("utf-16")),
    "A40-half-a-letter": ("hf.config_range", js(LLAMA | {"torch_dtype": "\ud800"})),
    "A40-many-labels": ("hf.config_range", js(BERT | {"id2label": {str(n): "x" for n in range(70_000)}})),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", CONFIGS)
def test_a_config_that_asks_for_code_or_for_the_impossible(row: str, kind: str, tmp_path: Path) -> None:
    code, config = CONFIGS[row]
    files = LLAMA_WEIGHTS | {"config.json": config, "modeling_evil.py": b"raise SystemExit"}
    assert refused(tmp_path, files, kind) == code


def test_a39_the_sentence_says_that_code_is_never_run_and_the_other_one_what_is_known(tmp_path: Path) -> None:
    for config, words in (
        (LLAMA | CODE, "never run"),
        (LLAMA | {"model_type": "evil"}, "llama, mistral, qwen2"),
    ):
        with pytest.raises(NocturneInputError, match=words):
            opened(tmp_path, packed(LLAMA_WEIGHTS | {"config.json": js(config)}))


@pytest.mark.parametrize("name", ["tokenizer_config.json", "generation_config.json"])
def test_a39_other_files_may_not_ask_for_code_either(name: str, tmp_path: Path) -> None:
    assert refused(tmp_path, model(LLAMA) | {name: js(CODE)}, "zip") == "hf.remote_code"


def indexed(change: Any) -> Files:
    """A sharded model whose index, or shards, were changed."""
    files = sharded(numbers(LLAMA))
    index = json.loads(files["model.safetensors.index.json"])
    change(index, files)
    return {"config.json": js(LLAMA), **files, "model.safetensors.index.json": js(index)}


FIRST, SECOND = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))


def point(path: str) -> Any:
    return lambda index, files: index["weight_map"].update({"model.norm.weight": path})


def _twice(index: dict[str, Any], files: Files) -> None:
    tensors = numbers(LLAMA)
    here = [name for name, file in index["weight_map"].items() if file == FIRST]
    files[FIRST] = safe({name: tensors[name] for name in [*here, *list(index["weight_map"])[:3]]})
    files[SECOND] = safe(tensors)


def _foreign(index: dict[str, Any], files: Files) -> None:
    here = [name for name, file in index["weight_map"].items() if file == FIRST]
    tensors = numbers(LLAMA)
    files[FIRST] = safe({name: tensors[name] for name in here} | {"backdoor": np.zeros(2, "f4")})


INDEXES: dict[str, tuple[str, Any]] = {
    "A41-up": ("hf.index_path", point("../other.safetensors")),
    "A41-absolute": ("hf.index_path", point("/etc/passwd")),
    "A41-absolute-safetensors": ("hf.index_path", point("/data/other.safetensors")),
    "A41-drive": ("hf.index_path", point("C:\\other.safetensors")),
    "A41-below": ("hf.index_path", point("sub/other.safetensors")),
    "A41-address": ("hf.index_path", point("https://evil.example/x.safetensors")),
    "A41-pickle": ("hf.index_path", point("evil.pkl")),
    "A41-hidden": ("hf.index_path", point(".safetensors")),
    "A41-no-text": ("hf.index_path", point(7)),  # type: ignore[arg-type]
    "A42-missing-shard": ("hf.index_mismatch", point("model-00003-of-00002.safetensors")),
    "A42-another-kind": ("hf.index_mismatch", lambda i, f: (f.update({"x.bin": b"x"}), point("x.bin")(i, f))),
    "A42-the-other-shard": (
        "hf.index_mismatch", lambda i, f: i["weight_map"].update(dict.fromkeys(i["weight_map"], FIRST)),
    ),
    "A42-a-tensor-too-many": (
        "hf.index_mismatch", lambda i, f: i["weight_map"].update({"more.weight": FIRST}),
    ),
    "A42-a-tensor-not-named": ("hf.index_mismatch", _foreign),
    "A42-a-tensor-twice": ("hf.index_mismatch", _twice),
    "A42-total": ("hf.index_mismatch", lambda i, f: i["metadata"].update(total_size=5)),
    "A42-no-map": ("hf.index_mismatch", lambda i, f: i.pop("weight_map")),
    "A42-empty-map": ("hf.index_mismatch", lambda i, f: i.update(weight_map={})),
    "A42-shard-is-gone": ("hf.index_mismatch", lambda i, f: f.pop(SECOND)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", INDEXES)
def test_an_index_that_leads_out_or_does_not_fit(row: str, kind: str, tmp_path: Path) -> None:
    code, change = INDEXES[row]
    assert refused(tmp_path, indexed(change), kind) == code


def test_a42_the_first_five_are_listed(tmp_path: Path) -> None:
    def more(index: dict[str, Any], files: Files) -> None:
        index["weight_map"].update({f"more.{n}": FIRST for n in range(9)})

    with pytest.raises(NocturneInputError, match=r"more\.0, .*more\.4, and 4 more"):
        opened(tmp_path, packed(indexed(more)))


def test_a42_untouched_it_is_read(tmp_path: Path) -> None:
    assert opened(tmp_path, packed(indexed(lambda index, files: None)))["format"] == "huggingface"


class Canary:
    """Would make a file if anybody unpickled it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


FORBIDDEN = (
    "run.py", "data.pkl", "lib.so", "notebook.ipynb", ".git/hooks/post-checkout", ".env", ".env.local",
    "sub/deep/tool.exe", "x.joblib",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a43_programs_and_pickles_are_left_where_they_are_and_listed(kind: str, tmp_path: Path) -> None:
    canary = tmp_path.parent / f"{tmp_path.name}-canary"
    bad = pickle.dumps(Canary(canary))
    info = opened(tmp_path, packed(model(LLAMA) | dict.fromkeys(FORBIDDEN, bad), kind))
    assert not canary.exists()
    assert [one["name"] for one in info["extras"]] == ["config.json"]
    said = " ".join(info["notes"])
    assert "never opened and never run" in said
    assert "and 3 more" in said
    assert b"run.py" not in (tmp_path / "copy").read_bytes()


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a43_a_strict_server_takes_no_such_folder(name: str, tmp_path: Path) -> None:
    assert refused(tmp_path, model(LLAMA) | {name: b"x"}, "zip", strict=True) == "hf.file_forbidden"


def test_a43_a_strict_server_takes_a_clean_one(tmp_path: Path) -> None:
    assert (
        opened(tmp_path, packed(model(LLAMA) | {"README.md": b"x"}), strict=True)["format"] == "huggingface"
    )


def tokenizer(**parts: Any) -> Files:
    return {"tokenizer.json": js(TOKENIZER | parts)}


def regex(pattern: Any) -> Files:
    return tokenizer(pre_tokenizer={"type": "Split", "pattern": {"Regex": pattern}})


def nested(levels: int) -> Any:
    found: Any = {"type": "NFC"}
    for _ in range(levels):
        found = {"type": "Sequence", "normalizers": [found]}
    return found


DOUBLING = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
TOKENIZERS: dict[str, Files] = {
    "A44-catastrophic": regex("(a+)+$"),
    "A44-catastrophic-in-a-normalizer": tokenizer(
        normalizer={"type": "Replace", "pattern": {"Regex": r"(\s|\s\s)*x"}, "content": ""}
    ),
    "A44-catastrophic-deep": tokenizer(
        pre_tokenizer={"type": "Sequence", "pretokenizers": [{"pattern": {"Regex": "(.*)*"}}]}
    ),
    "A44-back-reference": regex(r"(.+)\1\1"),
    "A44-recursion": regex("(?R)"),
    "A44-long-pattern": regex("a?" * 5000),
    "A44-pattern-is-no-text": regex({"a": 1}),
    "A44-doubling": tokenizer(normalizer={"type": "Sequence", "normalizers": [DOUBLING] * 20}),
    "A44-deep": tokenizer(normalizer=nested(20)),
    "A44-deeper": {"tokenizer.json": deep(100_000)},
    "A44-wide": tokenizer(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 3000}),
    "A44-kind-is-a-path": tokenizer(normalizer={"type": "../../evil"}),
    "A44-vocabulary-of-text": tokenizer(model={"type": "BPE", "vocab": {"a": "1"}, "merges": []}),
    "A44-negative-id": tokenizer(model={"type": "BPE", "vocab": {"a": -1}, "merges": []}),
    "A44-model-of-another-kind": tokenizer(model={"type": "Python", "vocab": {}}),
    "A44-merges-are-numbers": tokenizer(model={"type": "BPE", "vocab": {}, "merges": [1]}),
    "A44-added-token-is-text": tokenizer(added_tokens=["x"]),
    "A44-many-added-tokens": tokenizer(added_tokens=[{"id": 1, "content": "x"}] * 100_001),
    "A44-large": {"tokenizer.json": b'{"model": "' + b"x" * (66 * 2**20) + b'"}'},
    "A44-template-is-a-path": {"tokenizer_config.json": js({"chat_template": {"path": "../../etc/passwd"}})},
    "A44-template-of-a-name-that-leads-out": {
        "tokenizer_config.json": js({"chat_template": [{"name": "../x", "template": "y"}]})
    },
    "A44-large-template": {"tokenizer_config.json": js({"chat_template": "x" * 2_000_000})},
    "A44-class-is-a-path": {"tokenizer_config.json": js({"tokenizer_class": "evil.module.Class"})},
    "A44-vocabulary-of-lists": {"vocab.json": js({"a": [1]})},
    "A44-pickle-as-sentencepiece": {"tokenizer.model": pickle.dumps([1])},
    "A44-zero-bytes-in-merges": {"merges.txt": b"a b\n\0\0"},
}  # fmt: skip


@pytest.mark.parametrize("row", TOKENIZERS)
def test_a_tokenizer_without_an_end(row: str, tmp_path: Path) -> None:
    assert refused(tmp_path, model(LLAMA) | TOKENIZERS[row], "tar-gnu") == "tokenizer.limit"


def test_a44_a_template_is_text_and_is_never_rendered(tmp_path: Path) -> None:
    text = "{{ ''.__class__.__mro__[1].__subclasses__() }}{% include '/etc/passwd' %}"
    files = model(LLAMA) | {
        "tokenizer_config.json": js({"chat_template": text}), "chat_template.jinja": text.encode(),
    }  # fmt: skip
    found = extras(tmp_path, opened(tmp_path, packed(files)))
    assert json.loads(found["tokenizer_config.json"])["chat_template"] == text
    assert found["chat_template.jinja"].decode() == text


def _other(names: tuple[str, ...], change: Any) -> dict[str, Any]:
    tensors = numbers(GPT2)
    return {name: change(value) if name in names else value for name, value in tensors.items()}


NORM = "transformer.ln_f.weight"
BOTH: dict[str, tuple[str, bytes]] = {
    "A45-same": ("holds the same numbers", torch_file(numbers(GPT2))),
    "A45-numbers": (f"other numbers than model.safetensors, first in {NORM}",
                    torch_file(_other((NORM,), lambda value: value + 1))),
    "A45-shapes": (f"other tensors than model.safetensors: {NORM}",
                   torch_file(_other((NORM,), lambda value: value[:2]))),
    "A45-formats": (f"other tensors than model.safetensors: {NORM}",
                    torch_file(_other((NORM,), lambda value: value.astype("f2")))),
    "A45-names": ("other tensors than model.safetensors: evil",
                  torch_file(numbers(GPT2) | {"evil": np.zeros(2, "f4")})),
    "A45-hostile": ("could not be read either (pickle.global_forbidden)",
                    b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R."),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", BOTH)
def test_of_both_kinds_the_safe_one_is_used_and_the_difference_told(
    row: str, kind: str, tmp_path: Path
) -> None:
    words, other = BOTH[row]
    info = opened(tmp_path, packed(model(GPT2) | {"pytorch_model.bin": other}, kind))
    assert [note for note in info["notes"] if words in note], info["notes"]
    assert {one["name"] for one in info["tensors"]} == set(numbers(GPT2))


NESTED = {
    "A35-zip": packed(model(LLAMA), "zip"),
    "A35-tar": packed(model(LLAMA), "tar-pax"),
    "A35-gz": packed(model(LLAMA), "tar.gz"),
}


@pytest.mark.parametrize("kind", ("zip", "zip-deflated", "tar-gnu", "tar.gz"))
@pytest.mark.parametrize("row", NESTED)
def test_an_archive_where_the_weights_should_be(row: str, kind: str, tmp_path: Path) -> None:
    files = {"config.json": js(LLAMA), f"model.{row.partition('-')[2]}": NESTED[row]}
    assert refused(tmp_path, files, kind) == "archive.nested"
