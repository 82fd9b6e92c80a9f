"""The codes with which a file is refused, and the one way to refuse."""

from __future__ import annotations

from typing import Any, Final

from consolidation.errors import NocturneInputError

CODES: Final[dict[str, str]] = {
    "file.empty": "the file has no bytes",
    "type.mismatch": "the content is of another kind than what was asked for",
    "pickle.not_supported": "a Python pickle (.pt, .bin, .pkl); never opened",
    "pickle.global_forbidden": "a pickle that asks for something else than tensors",
    "pickle.opcode_forbidden": "a pickle with a step that tables of weights do not need",
    "pickle.malformed": "a pickle that breaks off or is damaged",
    "pickle.type_confusion": "a pickle that treats one kind of thing as another",
    "pickle.not_state_dict": "a pickle of something else than a table of weights",
    "pickle.limit_exceeded": "a pickle that is larger or deeper than weights need",
    "pytorch.legacy_format": "an old PyTorch container, or one of programs",
    "pytorch.byte_order": "numbers in the other byte order",
    "tensor.out_of_bounds": "a tensor that reaches outside of its storage",
    "tensor.strided": "a tensor whose numbers lie too scattered to be put in order",
    "container.unsupported": "packed in a container that is not read (gzip, 7z, rar, xz, zstd, tar, zip)",
    "safetensors.header_size": "the length of the header is impossible or over the limit",
    "safetensors.header_json": "the header is not the JSON that the format asks for",
    "safetensors.duplicate_key": "the header names something twice",
    "safetensors.metadata": "__metadata__ is not a small table of text",
    "safetensors.offsets": "tensors overlap, leave holes or have impossible places",
    "safetensors.trailing_bytes": "bytes after the last tensor",
    "safetensors.limit_exceeded": "too many tensors or dimensions, or too long a name",
    "tensor.name_invalid": "a tensor's name has characters that names of weights do not have",
    "tensor.dtype": "a tensor's number format is unknown or not usable here",
    "tensor.shape_overflow": "a tensor's shape is negative, or its product is beyond any memory",
    "tensor.size_mismatch": "a tensor's bytes do not match its shape, or the file ends early",
    "archive.inconsistent": "the zip contradicts itself or is damaged",
    "archive.encrypted": "a member is encrypted",
    "archive.method": "a member is packed by a method other than deflate",
    "archive.unexpected_member": "a member that does not belong there",
    "archive.path_traversal": "a member whose name leaves its folder",
    "archive.name_conflict": "member names that not every system can keep or tell apart",
    "archive.link_forbidden": "a member that is a link",
    "archive.special_file": "a member that is no plain file",
    "archive.overlap": "members that overlap",
    "archive.duplicate_name": "two members have one name",
    "archive.too_many": "more members than are read",
    "archive.bomb": "a small archive that unpacks to far too much",
    "archive.nested": "an archive inside of the archive, where a model's files should be",
    "hf.no_weights": "a folder without weights that are read, or with several to choose from",
    "hf.remote_code": "a model that wants code of its own to be run",
    "hf.config_range": "a value of the model's config that no model has",
    "hf.json": "a JSON file of the folder that is damaged, or can be read in two ways",
    "hf.index_path": "an index that names a file outside of the folder",
    "hf.index_mismatch": "an index and its shards that do not fit together",
    "hf.file_forbidden": "a file that may not lie in a model's folder (only where the server is strict)",
    "hf.quantized": "weights in a packing of another library",
    "tokenizer.limit": "a tokenizer that is too large, too deep or could take for ever",
    "peft.pairs": "an adapter whose two halves do not fit each other",
    "checkpoint.tied": "two tensors that should be one and differ",
    "checkpoint.family_not_yet": "a family that is kept and taken home, but not computed with",
    "npz.pickle_forbidden": "an array of Python objects; never unpickled",
    "npz.size_mismatch": "an array's bytes do not match its shape",
    "npz.header": "a member is not an array as numpy writes it",
    "npz.dtype": "an array's number format is not usable here",
    "npz.limit": "an array that has to be held in memory is too large for that",
    "npz.member": "an array is missing, or has a name that is not known",
    "jsonl.line_limit": "a line is longer than the limit",
    "jsonl.depth": "a line is nested too deeply",
    "jsonl.number": "a number is not finite or has too many digits",
    "jsonl.duplicate_key": "a line has a key twice",
    "jsonl.encoding": "the text is not UTF-8 with LF line ends",
    "jsonl.syntax": "a line is not JSON",
    "csv.line_limit": "a line is longer than the limit",
    "csv.number": "a field is not a number, is empty, or does not fit 32-bit floats",
    "csv.encoding": "the text is not UTF-8 with LF or CRLF line ends",
    "csv.syntax": "a line's quotes do not close, or a field is too long",
    "csv.header": "the first line does not name the columns",
    "gzip.malformed": "a gzip file that ends early or is damaged",
    "parquet.limit": "a Parquet file that claims or takes more than records need",
    "parquet.malformed": "a Parquet file that contradicts itself or is damaged",
    "parquet.unsupported": "encrypted, with columns of foreign types, or with parts in other files",
    "parquet.columns": "the columns are not a label and the numbers of x",
    "replay.schema": "a row does not look like the others",
    "replay.rights_missing": "records without owner, licence or purpose in a set that requires them",
    "replay.expansion_limit": "the records would take more room than there is",
    "records.rights": "too many different owners, licences, purposes or sources",
    "records.empty": "no rows",
    "records.shape": "the arrays' shapes do not fit each other",
    "records.rows": "more rows than one set may have",
    "records.label_range": "a label outside of the classes",
    "records.non_finite": "NaN or infinity among the values",
    "records.logits": "stored logits that do not fit the classes or 16-bit floats",
    "records.transform": "scale, mean or sd is not usable",
    "records.tokenizer": "a text, and no tokenizer that reads it",
    "records.token": "a text that the model cannot read: too long, empty, or of another vocabulary",
    "records.metadata": "a record file whose description is damaged, or says what cannot be kept",
    "records.format": "a packed record file that contradicts itself or does not unpack",
    "checkpoint.family_unknown": "tensors that no known family has, and no description",
    "weights.expansion_limit": "the weights, written out, take more room than there is",
    "checkpoint.no_tensors": "a file without any tensor",
    "checkpoint.config_missing": "something that the file does not tell was not told in the form either",
    "checkpoint.metadata": "nocturne.config is not JSON",
}


def refuse(code: str, message: str, **detail: Any) -> NocturneInputError:
    """The error to raise for a documented code.

    Args:
        code: one of CODES.
        message: what happened, what it means, what to do.
        **detail: JSON-able facts.
    """
    if code not in CODES:
        raise KeyError(code)
    return NocturneInputError(code, message, **detail)
