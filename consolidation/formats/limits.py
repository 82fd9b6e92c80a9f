"""What a file may ask of us. Every reader checks these before it allocates anything."""

from __future__ import annotations

from typing import Final

HEADER_BYTES: Final = 16 * 2**20  # a safetensors header
METADATA_BYTES: Final = 2**20  # all of its __metadata__ together
TENSORS: Final = 50_000
DIMENSIONS: Final = 8
NAME_BYTES: Final = 512
ELEMENTS: Final = 2**62  # products above are an attack, not a model

NPY_HEADER_BYTES: Final = 10_000
ARCHIVE_MEMBERS: Final = 32
ARCHIVE_RATIO: Final = 200  # unpacked : packed, over the whole archive
ARCHIVE_RATIO_FROM: Final = (
    64 * 2**20
)  # small archives may be as regular as they like (sorted labels pack 1000:1)

LINE_BYTES: Final = 2**20
JSON_DEPTH: Final = 64
NUMBER_DIGITS: Final = 64
BAD_LINES_SHOWN: Final = 20
COLUMNS: Final = 16_384  # of a table
GZIP_RATIO: Final = 100  # unpacked : packed; tables of numbers pack up to about 30:1
GZIP_RATIO_FROM: Final = 64 * 2**20
GZIP_MEMBERS: Final = 10_000
RIGHTS_LETTERS: Final = 100_000  # all different owners, licences, ... of a set together

FOOTER_BYTES: Final = 8 * 2**20  # what a Parquet file says of itself
FOOTER_ITEMS: Final = 2_000_000  # values in it
ROW_GROUPS: Final = 10_000
SCHEMA_DEPTH: Final = 8

ROWS: Final = 10_000_000
CLASSES: Final = 1_000_000

CHUNK: Final = 4 * 2**20  # bytes held at a time while copying
READ_BYTES: Final = 64 * 1024  # a reader's buffer

GGUF_KEYS: Final = 4096  # key-values of a GGUF header
GGUF_TEXT_BYTES: Final = 2**20  # one text of it; the longest real ones are chat templates
GGUF_ITEMS: Final = 2**21  # entries of one array: tokens and merges of the largest vocabularies
GGUF_DIMENSIONS: Final = 4

FOLDER_MEMBERS: Final = 2000  # files in a folder that comes as a zip or tar
PATH_BYTES: Final = 240
PATH_DEPTH: Final = 16
COMPANION_BYTES: Final = 64 * 2**20  # config, tokenizer and the like, together

PICTURES: Final = 200_000  # files in an archive of pictures, or of a dataset
PICTURE_BYTES: Final = 64 * 2**20  # of one file
PICTURE_PIXELS: Final = 64_000_000  # of one picture: the largest cameras
PICTURE_RATIO_FROM: Final = 2**20  # smaller ones may be as plain as they like
SPLITS: Final = 64  # parts of a dataset

ARROW_METADATA: Final = 8 * 2**20  # of one message
ARROW_BODY: Final = 512 * 2**20  # numbers of one batch
ARROW_BATCHES: Final = 1_000_000
DATASET_JSON: Final = 16 * 2**20
