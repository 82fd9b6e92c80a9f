"""Measures the reading of checkpoints and records: other programs' files, headers of large folders, tables.

    python -m tests.bench.formats                       all sections
    python -m tests.bench.formats --mb 4000             with a larger file of torch.save
    python -m tests.bench.formats --only shards --gb 60
    python -m tests.bench.formats --only import --mb 5000

Sections: transcode (a file of torch.save written anew as safetensors, beside `cp` of the same file in the
same run, in turns; peak memory beside that of the largest tensor), gguf (quantised models of llama.cpp
written out), shards (the headers of a sharded checkpoint in a tar, its numbers holes in the disk, read and
compared with its config.json), records (JSON Lines, CSV, both packed by gzip, Parquet and npz: speed by
processor time; peak memory beside that of a file of a quarter of the rows), texts (JSON Lines of texts for
every kind of text model, with words remembered and without; memory as of records), import (a large JSON Lines
file through the real confined child).

The exit code is 1 when a target is missed. Figures depend on what else the machine does; the load is printed
beside them.
"""

from __future__ import annotations

from tests.bench.command import run_sections

SECTIONS = ("transcode", "gguf", "shards", "records", "texts", "import")

if __name__ == "__main__":
    raise SystemExit(run_sections(__doc__, SECTIONS, "formats_", None, {"mb": 1000, "gb": 30}))
