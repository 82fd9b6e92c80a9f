"""A folder in an archive: read alike from a zip and from a tar, without a copy where there need be none."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.folder import Folder, open_folder
from consolidation.formats.region import Region
from consolidation.formats.sniff import sniff
from tests.consolidation.formats.files import code_of
from tests.consolidation.formats.folders import KINDS, Files, model, packed, torch_file

FILES: Files = {
    "config.json": b"{}",
    "empty": b"",
    "sub/deep/" + "n" * 120 + ".txt": b"long name",
    "model.safetensors": bytes(range(256)) * 5000,
}


def opened(tmp_path: Path, data: bytes, stack: ExitStack, *, limit: int = 10**8) -> Folder:
    path = tmp_path / "a"
    path.write_bytes(data)
    return open_folder(
        Region.of(path), sniff(path), filename="a", spool=tmp_path / "spool", limit_bytes=limit, stack=stack
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("top", ["", "my-model/"])
def test_every_kind_of_archive_gives_the_same_folder(kind: str, top: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        folder = opened(tmp_path, packed(FILES, kind, top=top), stack)
        assert folder.paths() == sorted(FILES)
        assert folder.top() == ["config.json", "empty", "model.safetensors"]
        assert {path: folder.region(path).read() for path in folder.paths()} == FILES
        assert {path: folder.size(path) for path in folder.paths()} == {n: len(c) for n, c in FILES.items()}
    assert [left.name for left in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(("kind", "copied"), [("zip", 0), ("tar-gnu", 0), ("zip-deflated", 1), ("tar.gz", 1)])
def test_only_what_is_compressed_is_unpacked_and_only_when_it_is_asked_for(
    kind: str, copied: int, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        folder = opened(tmp_path, packed(FILES, kind), stack)
        before = len(list(tmp_path.glob("spool*")))
        assert before == (1 if kind == "tar.gz" else 0)
        folder.region("model.safetensors")
        folder.region("model.safetensors")
        assert len(list(tmp_path.glob("spool*"))) == copied


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_what_the_tar_command_writes_is_read(form: str, tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_bytes(content)
    (tmp_path / "src" / "empty folder").mkdir()
    command = ["tar", f"--format={form}", "-C", str(tmp_path / "src"), "-cf", str(tmp_path / "t"), "."]
    subprocess.run(command, check=True)
    with ExitStack() as stack:
        folder = opened(tmp_path, (tmp_path / "t").read_bytes(), stack)
        assert {path: folder.region(path).read() for path in folder.paths()} == FILES


def test_what_a_mac_puts_beside_the_files_is_not_of_the_folder(tmp_path: Path) -> None:
    litter = {"m/._config.json": b"x", "__MACOSX/m/._config.json": b"x", "m/.DS_Store": b"x"}
    with ExitStack() as stack:
        folder = opened(tmp_path, packed({"m/config.json": b"{}"} | litter, top=""), stack)
        assert folder.paths() == ["config.json"]


@pytest.mark.parametrize("kind", ["zip-deflated", "tar.gz"])
def test_no_more_is_unpacked_than_there_is_room_for(kind: str, tmp_path: Path) -> None:
    with ExitStack() as stack, pytest.raises(NocturneInputError) as caught:
        folder = opened(tmp_path, packed(FILES, kind), stack, limit=100_000)
        folder.region("model.safetensors")
    assert code_of(caught) == "archive.bomb"
    assert [left.name for left in tmp_path.iterdir()] == ["a"]


def test_a_damaged_file_in_a_zip_is_found_when_it_is_opened(tmp_path: Path) -> None:
    data = packed({"x": b"one two three"}).replace(b"two", b"ten")
    with ExitStack() as stack, pytest.raises(NocturneInputError) as caught:
        opened(tmp_path, data, stack).region("x")
    assert code_of(caught) == "archive.inconsistent"


def test_a_folder_with_a_file_of_torch_save_is_a_folder_and_not_such_a_file(tmp_path: Path) -> None:
    files = {"config.json": b"{}", "pytorch_model.bin": torch_file({})}
    for name, data, kind in (
        ("folder", packed(files), "zip"),
        ("weights", files["pytorch_model.bin"], "torch-zip"),
        ("more", packed(model({"model_type": "gpt2", "vocab_size": 2, "n_positions": 2, "n_embd": 2,
                               "n_layer": 1, "n_head": 1})), "zip"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        assert sniff(tmp_path / name) == kind
