"""Loaders: what they read, what they refuse, in files written here."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from consolidation.benchmarks import permuted_mnist, split_cifar
from consolidation.benchmarks.benchmark import Options, open_benchmark
from consolidation.benchmarks.data import download, load_npz
from consolidation.errors import NocturneInputError


def write_binary(folder: Path, per_class: int = 2, classes: int = 100) -> np.ndarray:
    """cifar-100-binary/ with a few records, told apart by their first byte; returns the fine labels."""
    target = folder / "cifar-100-binary"
    target.mkdir(parents=True)
    fine = np.repeat(np.arange(classes), per_class)
    records = np.zeros((len(fine), 3074), np.uint8)
    records[:, 0], records[:, 1] = fine // 5, fine
    records[:, 2] = np.arange(len(fine)) % 251
    for part in ("train", "test"):
        (target / f"{part}.bin").write_bytes(records.tobytes())
    return fine


def test_cifar_100_is_read_from_the_binary_version_by_its_fine_labels(tmp_path: Path) -> None:
    fine = write_binary(tmp_path)
    found = split_cifar.read_binary(tmp_path / "cifar-100-binary")
    assert found["x_train"].shape == (200, 3072)
    assert (found["y_test"] == fine).all()
    assert (found["x_train"][:, 0] == np.arange(200) % 251).all()


def test_cifar_100_becomes_ten_tasks_of_ten_classes(tmp_path: Path) -> None:
    write_binary(tmp_path)
    made = open_benchmark("split-cifar", Options(data=tmp_path, model="cnn"), 0)
    assert (made.tasks, made.outputs, made.data) == (10, 100, "CIFAR-100")
    task = made.train(3)
    assert task.classes == tuple(range(30, 40)) and set(task.y.tolist()) == set(task.classes)
    assert made.build(0)(made.test(3)[0]).shape == (20, 100)


def test_a_cut_off_binary_file_is_refused(tmp_path: Path) -> None:
    write_binary(tmp_path)
    path = tmp_path / "cifar-100-binary" / "test.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(NocturneInputError, match=r"test\.bin is missing or cut off"):
        split_cifar.load(Options(data=tmp_path))


def test_python_pickles_are_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-python").mkdir()
    with pytest.raises(NocturneInputError, match="binary version"):
        split_cifar.load(Options(data=tmp_path))


def test_the_subset_of_cifar_10_becomes_five_tasks_of_two_classes(tmp_path: Path) -> None:
    x, y = np.zeros((20, 32, 32, 3), np.uint8), np.repeat(np.arange(10), 2)
    np.savez(tmp_path / "cifar10_subset.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    made = open_benchmark("split-cifar", Options(data=tmp_path, model="mlp"), 0)
    assert (made.tasks, made.outputs) == (5, 10) and "subset" in made.data


def test_mnist_is_read_from_idx_files_as_from_npz(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8), np.arange(6, dtype=np.uint8)
    for name in permuted_mnist.FILES:
        array = x if "images" in name else y
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (tmp_path / name).write_bytes(gzip.compress(head + array.tobytes()))
    idx = permuted_mnist.load(Options(data=tmp_path))
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    npz = permuted_mnist.load(Options(data=tmp_path))
    for name, array in npz.items():
        assert (idx[name] == array).all() and idx[name].shape == array.shape


def test_every_task_of_permuted_mnist_has_a_shuffle_of_its_own_the_first_too(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8), np.arange(40) % 10
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    made = open_benchmark("permuted-mnist", Options(data=tmp_path, tasks=3), 0)
    flat = x.reshape(40, -1)
    seen = [made.train(task).raw().numpy() for task in range(3)]
    for index, raw in enumerate(seen):
        assert not (raw == flat).all() and (np.sort(raw, 1) == np.sort(flat, 1)).all()
        scored = made.test(index)[0].numpy()
        assert np.allclose(scored, raw / 255, atol=1e-7)  # test images are shuffled as training images are
    assert not (seen[0] == seen[1]).all()
    again = open_benchmark("permuted-mnist", Options(data=tmp_path, tasks=3), 0)
    assert (again.train(2).raw().numpy() == seen[2]).all()
    coarse = open_benchmark("permuted-mnist", Options(data=tmp_path, tasks=3, precision="bf16"), 0)
    assert (made.precision, coarse.precision, coarse.night["precision"]) == ("fp32", "bf16", "bf16")
    other = open_benchmark("permuted-mnist", Options(data=tmp_path, tasks=3), 1)
    assert not (other.train(2).raw().numpy() == seen[2]).all()


def test_an_npz_of_something_else_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(NocturneInputError, match="must hold x_train"):
        load_npz(tmp_path / "a.npz")
    x = np.zeros((3, 2), np.float32)
    np.savez(tmp_path / "b.npz", x_train=x, y_train=np.arange(3), x_test=x, y_test=np.arange(3))
    with pytest.raises(NocturneInputError, match="uint8"):
        load_npz(tmp_path / "b.npz")


def test_a_download_with_another_digest_is_thrown_away(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"not what was published")
    with pytest.raises(NocturneInputError, match="thrown away"):
        download(source.as_uri(), tmp_path / "kept", "md5", "0" * 32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_a_file_that_is_there_already_must_be_the_published_one(tmp_path: Path) -> None:
    kept, nowhere = tmp_path / "kept", "http://127.0.0.1:9/never-asked"
    digest = hashlib.sha256(b"whole").hexdigest()
    kept.write_bytes(b"who")
    with pytest.raises(NocturneInputError, match="Take it away"):
        download(nowhere, kept, "sha256", digest)
    kept.write_bytes(b"whole")
    assert download(nowhere, kept, "sha256", digest) == kept


@pytest.mark.parametrize("content", [b"PK\x03\x04 and then nothing", b"", b"hello", None])
def test_a_file_that_is_no_npz_is_refused_in_a_sentence(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    if content is None:  # an npy file by another name
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(NocturneInputError, match="not the npz file asked for"):
        permuted_mnist.load(Options(data=tmp_path))


def test_images_of_another_size_and_labels_mnist_has_not_are_refused(tmp_path: Path) -> None:
    x, y = np.zeros((4, 28, 28), np.uint8), np.arange(4)
    np.savez(tmp_path / "mnist.npz", x_train=x[:, :9], y_train=y, x_test=x[:, :9], y_test=y)
    with pytest.raises(NocturneInputError, match="784 numbers an image"):
        permuted_mnist.load(Options(data=tmp_path))
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y + 8, x_test=x, y_test=y)
    with pytest.raises(NocturneInputError, match="label 11"):
        permuted_mnist.load(Options(data=tmp_path))


@pytest.mark.parametrize(
    "spoilt",
    [
        b"",
        b"not gzip",
        gzip.compress(b""),
        gzip.compress(bytes([0, 0, 8, 0, 1])),
        gzip.compress(bytes([0, 0, 8, 3]) + np.array([2, 28, 28], ">u4").tobytes() + bytes(783)),
        gzip.compress(bytes([0, 0, 8, 200])),
    ],
    # gzip writes the time of day, and two workers must give their tests equal names
    ids=["empty", "not gzip", "gzip of nothing", "short head", "short body", "no such rank"],
)
def test_an_idx_file_that_is_none_is_refused_in_a_sentence(spoilt: bytes, tmp_path: Path) -> None:
    for name in permuted_mnist.FILES:
        (tmp_path / name).write_bytes(spoilt)
    with pytest.raises(NocturneInputError, match="cut off or no idx file"):
        permuted_mnist.load(Options(data=tmp_path))


def archive_of(path: Path, members: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
            tar.addfile(entry)
    return path


def test_only_the_two_files_of_the_archive_are_unpacked(tmp_path: Path) -> None:
    members = {f"cifar-100-binary/{n}": n.encode() for n in ("train.bin", "test.bin", "fine_label_names.txt")}
    archive = archive_of(tmp_path / "a.tar.gz", members | {"../outside": b"!"})
    split_cifar.unpack(archive, tmp_path / "made")
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == ["test.bin", "train.bin"]
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize("link", [None, "cifar-100-binary/train.bin"])
def test_an_archive_that_lacks_a_file_or_links_one_is_refused(link: str | None, tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.tar.gz", {"cifar-100-binary/test.bin": b"t"}, link)
    with pytest.raises(NocturneInputError, match="not the archive of CIFAR-100"):
        split_cifar.unpack(archive, tmp_path / "made")
    assert not (tmp_path / "made" / "train.bin").exists()


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"no archive")
    with pytest.raises(NocturneInputError, match="not the archive of CIFAR-100"):
        split_cifar.unpack(tmp_path / "a.tar.gz", tmp_path / "made")
