"""What a file is, judged by its content; its name proves nothing."""

from __future__ import annotations

import codecs
import re
import struct
from pathlib import Path
from typing import Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats.refusal import refuse
from consolidation.formats.region import Region

HEAD_BYTES: Final = 4096
TAIL_BYTES: Final = 65_536
_TABLE_BYTES: Final = 2**20
_IN_FOLDER: Final = re.compile(rb"config\.json|adapter_config\.json|.*\.safetensors|.*\.bin|.*\.index\.json")

_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x1f\x8b", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"PAR1", "parquet"),
    (b"PARE", "parquet"),
    (b"\x93NUMPY", "npy"),
    (b"%PDF-", "pdf"),
    (b"\x89PNG\r\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"\x7fELF", "program"),
    (b"MZ\x90", "program"),
)
_PACKED: Final = frozenset({"gzip", "7z", "rar", "xz", "zstd", "bzip2", "zip"})
_TITLES: Final[dict[str, str]] = {
    "gguf": "a GGUF model",
    "hdf5": "an HDF5 file (Keras)",
    "parquet": "a Parquet table",
    "npy": "one bare numpy array",
    "npz": "an npz archive of arrays",
    "pdf": "a PDF",
    "image": "a picture",
    "program": "a program",
    "html": "a web page, perhaps a log-in page that was saved in the file's place",
    "lfs": "a Git LFS pointer, a note that stands for the real file",
    "json": "JSON text",
    "text": "plain text",
    "utf16": "text in UTF-16",
    "pickle-text": "a pickle of the oldest kinds",
    "safetensors": "a safetensors file",
    "unknown": "of no kind that Nocturne knows",
}
_TEXT_PICKLE: Final = re.compile(rb"\A(?:\(?c[\w.]+\n\w+\n|\([dlt]p?\d*\n|\(i[\w.]+\n)")


def sniff(file: Path | Region) -> str:
    """The kind of a file from its first and last bytes; nothing in it is interpreted.

    Returns:
        One of "safetensors", "npz", "pickle", "torch-zip", "zip", "tar", "json", "text", "utf16", "html",
        "lfs", "pickle-text", "empty", "unknown", or a name from the table of magic numbers.
    """
    region = file if isinstance(file, Region) else Region.of(file)
    head = region.read(0, HEAD_BYTES)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        tail = region.read(max(0, region.size - TAIL_BYTES))
        return _zip_kind(head, tail, _zip_names(region, tail))
    return sniff_head(head)


def sniff_head(head: bytes) -> str:
    """As `sniff`, from the first `HEAD_BYTES` bytes alone; a zip is then just "zip"."""
    if not head:
        return "empty"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    # The header's length comes first (8 bytes), then the brace. Only GGUF can look like this, with as many
    # tensors as a brace has in ASCII (123); a header of safetensors that begins so is over any limit.
    if head.startswith(b"GGUF"):
        return "gguf"
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40:
        return "safetensors"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return "pickle"
    if head[257:262] == b"ustar":
        return "tar"
    return _text_kind(head)


def _zip_kind(head: bytes, tail: bytes, names: list[bytes]) -> str:
    # A model's folder may hold a file of torch.save, whose own end lies in the tail too.
    if any(_IN_FOLDER.fullmatch(name.rpartition(b"/")[2]) for name in names):
        return "zip"
    length = int.from_bytes(head[26:28], "little")
    first = head[30 : 30 + length]
    seen = b"\n".join(names) if names else tail
    if first.endswith((b"data.pkl", b"/version", b"/byteorder")) or b"data.pkl" in seen:
        return "torch-zip"
    return "npz" if first.endswith(b".npy") or b".npy" in seen else "zip"


def _zip_names(region: Region, tail: bytes) -> list[bytes]:
    """The names in the table of contents as far as they can be seen at once; what is odd is left out, for
    the reader of zips to refuse."""
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + 22:
        return []
    size, start = struct.unpack("<2I", tail[place + 12 : place + 20])
    wide = tail.rfind(b"PK\x06\x06", 0, place)
    if 0xFFFFFFFF in (size, start) and wide >= 0 and len(tail) >= wide + 56:
        size, start = struct.unpack("<2Q", tail[wide + 40 : wide + 56])
    if start + size > region.size:
        return []
    table, names, at = region.read(start, min(size, _TABLE_BYTES)), [], 0
    while table[at : at + 4] == b"PK\x01\x02" and len(table) >= at + 46:
        name, extra, comment = struct.unpack("<3H", table[at + 28 : at + 34])
        names.append(table[at + 46 : at + 46 + name])
        at += 46 + name + extra + comment
    return names


def _text_kind(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or (
        len(head) >= 8 and head[1:8:2] == bytes(4) and head[0] and head[2]
    ):
        return "utf16"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        return "json"
    if _TEXT_PICKLE.match(head):
        return "pickle-text"
    try:
        # The last character may be cut in half where the head ends.
        text = codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        return "unknown"
    if any(ord(c) < 32 and c not in "\t\n\r\f" for c in text):
        return "unknown"
    start = text.lstrip("\ufeff \t\r\n")[:512].lower()
    if start.startswith("version https://git-lfs"):
        return "lfs"
    if start.startswith(("<!doctype html", "<html", "<?xml", "<head", "<body")):
        return "html"
    return "text"


def refuse_kind(kind: str, *, wanted: str, filename: str) -> NocturneInputError:
    """The sentence for a file of the wrong kind.

    Args:
        kind: what `sniff` said.
        wanted: what was asked for, with its article ("a safetensors checkpoint").
        filename: the person's own name for the file.
    """
    name = shorten(filename)
    if kind == "empty":
        return refuse("file.empty", f"{name} is empty (0 bytes). Save it again and choose the new file.")
    if kind in {"pickle", "torch-zip"}:
        return refuse(
            "pickle.not_supported",
            f"{name} is a Python pickle, which can run code when it is opened. It was not opened. "
            "Save the weights as safetensors (safetensors.torch.save_file) or the records as npz, "
            "and choose that file.",
        )
    if kind == "tar":
        return refuse(
            "pytorch.legacy_format",
            f"{name} is a tar archive, as very old PyTorch versions wrote. It was not opened. "
            "Load it where it was made and save the weights as safetensors.",
        )
    if kind in _PACKED:
        return refuse(
            "container.unsupported",
            f"{name} is packed ({kind}). Nocturne reads {wanted} as it is: unpack it and choose the file "
            "inside.",
        )
    return refuse(
        "type.mismatch",
        f"{name} is {_TITLES[kind]}, not {wanted}. Nothing was read from it. Choose another file.",
        kind=kind,
    )
