"""Files of texts, each converted in a process of its own: with words remembered, and with every text given to
the tokenizer, in turn; and once through the real confined child."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.bench.sections import formats_import
from tests.bench.sections.formats_transcode import resident

KINDS = {"language": "gpt2", "prompts": "gpt2", "labels": "bert", "pairs": "bert", "questions": "bert"}
OBJECTIVES = {"language": "language", "prompts": "language", "questions": "extractive-qa"}
TARGETS = {f"{kind}: growth with 4 times the rows, MB": 16.0 for kind in KINDS}


def tokenizers(folder: Path) -> dict[str, Path]:
    """Of GPT-2's and of BERT's kind, trained on what Python says of its own language."""
    from pydoc_data.topics import topics

    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    gpt2 = Tokenizer(models.BPE())
    gpt2.pre_tokenizer = level
    gpt2.train_from_iterator(
        topics.values(),
        trainers.BpeTrainer(vocab_size=8000, initial_alphabet=level.alphabet(), show_progress=False),
    )
    bert = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    bert.normalizer, bert.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    bert.train_from_iterator(
        topics.values(),
        trainers.WordPieceTrainer(vocab_size=8000, special_tokens=special, show_progress=False),
    )
    bert.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    paths = {name: folder / f"{name}.json" for name in ("gpt2", "bert")}
    gpt2.save(str(paths["gpt2"]))
    bert.save(str(paths["bert"]))
    return paths


def make(path: Path, kind: str, size: int) -> int:
    """Runs of 20 to 120 words; how many rows."""
    from pydoc_data.topics import topics

    words, rng, rows = " ".join(topics.values()).split(), random.Random(0), 0
    with path.open("w") as handle:
        while handle.tell() < size:
            begin, count = rng.randrange(len(words) - 120), rng.randrange(20, 120)
            left, right = (
                " ".join(words[a:b]) for a, b in ((begin, begin + 10), (begin + 10, begin + count))
            )
            made: dict[str, dict[str, Any]] = {
                "language": {"text": f"{left} {right}"},
                "prompts": {"prompt": left, "completion": f" {right}"},
                "labels": {"text": f"{left} {right}", "label": rows % 4},
                "pairs": {"premise": left, "hypothesis": right, "label": rows % 3},
                "questions": {"question": left, "context": right, "answer": right[:9], "answer_start": 0},
            }
            handle.write(json.dumps(made[kind]) + "\n")
            rows += 1
    return rows


def alone(path: str, out: str, tokenizer: str, objective: str, remember: bool) -> None:
    """The child: one file converted; prints [processor seconds, peak bytes, bytes before, sha256]."""
    from consolidation.formats import known_words
    from consolidation.formats.records import convert_records
    from consolidation.formats.texts import TextOptions, TokenizerFile

    size = Path(tokenizer).stat().st_size
    file = TokenizerFile(Path(tokenizer), 0, size, 512, 8000, objective=objective)
    before, began = resident("VmRSS"), time.process_time()
    with nullcontext() if remember else patch.object(known_words, "blockers", return_value=None):
        info = convert_records(path, task="t", out=out, tokenizer=file, options=TextOptions(truncate=True))
    print(json.dumps([time.process_time() - began, resident("VmHWM"), before, info["sha256"]]))


def run(path: Path, out: Path, *args: Any) -> tuple[float, float, str]:
    """Processor seconds, megabytes at the highest beyond those before, and the digest of what was made."""
    command = f"from {__name__} import alone; alone{(str(path), str(out), *args)!r}"
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True, text=True, cwd=Path(__file__).parents[3], check=True,
    )  # fmt: skip
    seconds, peak, before, digest = json.loads(done.stdout)
    out.unlink()
    return seconds, (peak - before) / 1e6, digest


def measure(sizes: dict[str, int]) -> dict[str, Any]:
    megabytes = max(8, min(sizes["mb"], 32))
    found: dict[str, Any] = {"each file, MB": megabytes}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = tokenizers(folder)
        for kind, which in KINDS.items():
            large, small = folder / f"{kind}.jsonl", folder / f"{kind}-small.jsonl"
            rows = make(large, kind, megabytes * 10**6)
            make(small, kind, megabytes * 10**6 // 4)
            args = (str(paths[which]), OBJECTIVES.get(kind, "classification"))
            seconds, peak, digest = run(large, folder / "out", *args, True)
            plain, _, wanted = run(large, folder / "out", *args, False)
            _, less, _ = run(small, folder / "out", *args, True)
            if digest != wanted:
                raise RuntimeError(f"{kind}: other records than the tokenizer's own")
            size = large.stat().st_size / 1e6
            found[f"{kind}: MB a second"] = round(size / seconds, 1)
            found[f"{kind}: MB a second, every text given to the tokenizer"] = round(size / plain, 1)
            found[f"{kind}: records a second"] = round(rows / seconds)
            found[f"{kind}: growth at its highest, MB"] = round(peak, 1)
            found[f"{kind}: growth with 4 times the rows, MB"] = round(peak - less, 1)
        tokenizer = {
            "path": str(paths["gpt2"]), "offset": 0, "size": paths["gpt2"].stat().st_size, "longest": 512,
            "vocabulary": 8000, "objective": "language",
        }  # fmt: skip
        large = folder / "language.jsonl"
        _, seconds, peak = formats_import.run(large, folder / "child", tokenizer=tokenizer)
        found["language, in the confined child: MB a second"] = round(large.stat().st_size / 1e6 / seconds, 1)
        found["language, in the confined child: MB at its highest"] = round(peak)
    return found
