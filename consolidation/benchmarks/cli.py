"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from consolidation.baselines.method import METHODS
from consolidation.baselines.storage import NAMES, Storage
from consolidation.benchmarks import ablation, table
from consolidation.benchmarks.benchmark import PROTOCOLS
from consolidation.benchmarks.claims import claims_page
from consolidation.benchmarks.plot import compute_plot
from consolidation.benchmarks.pool import run_all
from consolidation.benchmarks.protocols import published
from consolidation.benchmarks.results import is_row_of, read_rows
from consolidation.benchmarks.run import RowSpec
from consolidation.errors import NocturneInputError, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS, CLAIMS, MEASURES = Path("docs/results"), Path("docs/claims.md"), Path("docs/measures.json")

EXAMPLES = """examples:
  python -m consolidation.benchmarks permuted-digits --methods finetune,er,sleep --seeds 2 --json digits.json
  python -m consolidation.benchmarks permuted-mnist --data data --methods finetune,er,derpp,sleep \\
      --buffer 500 --seeds 5 --workers 2 --json mnist-500.json --markdown mnist-500.md --svg mnist-500.svg
  python -m consolidation.benchmarks permuted-mnist --data data --methods er,derpp,sleep \\
      --buffer-bytes 1590000 --codec columns --seeds 5 --json mnist-bytes.json
  python -m consolidation.benchmarks permuted-mnist --data data --methods er,derpp,derpp-thin,sleep \\
      --buffer 500 --ratio 1.2 --first-seed 100 --seeds 10 --against derpp --json mnist-new-seeds.json
  python -m consolidation.benchmarks split-cifar --data data --model cnn --buffer 500 --json cifar.json
  python -m consolidation.benchmarks glue5 --data data --methods finetune,er,derpp-thin,derpp,sleep \\
      --buffer 200 --seeds 3 --first-seed 100 --json glue5.json
  python -m consolidation.benchmarks ablation --data data --tasks 20 --seeds 3 --json ablation.json
  python -m consolidation.benchmarks claims --results mnist-500.json ablation.json --out claims.md

A run that was cut off goes on when the same command is given again: rows in the JSON file are kept."""
MEASURES_OF = {"lm5": table.PERPLEXITY, "qa5": table.F1}
DEFAULT_METHODS = "finetune,er,derpp,sleep"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m consolidation.benchmarks", epilog=EXAMPLES,
        description="Continual-learning benchmarks: Synaptic Sleep Replay and its rivals on the same data.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = made.add_argument
    add("name", choices=[*PROTOCOLS, "ablation", "claims"], help="a benchmark, ablation, or claims")
    add("--data", type=Path, help="folder with the data sets; see each one's sentence when a file is missing")
    add("--download", action="store_true", help="fetch what is missing into --data from its public place")
    add("--methods", default=DEFAULT_METHODS, help=f"from {', '.join(METHODS)} (default {DEFAULT_METHODS})")
    budget = made.add_mutually_exclusive_group()
    budget.add_argument("--buffer", type=int, help="memories in all (default 500)")
    budget.add_argument("--buffer-bytes", type=int, help="bytes for all that a method stores between tasks")
    add(
        "--codec",
        choices=NAMES,
        default="float32",
        help="how memories are stored (default float32, as published)",
    )
    add("--tasks", type=int, help="how many tasks (default: the protocol's)")
    add("--model", help="split-cifar: vision (a ResNet-18, the default) or cnn; lm5: gpt2-small or smollm2")
    add("--examples", type=int, help="of text: training records a task (default: the protocol's)")
    add("--layers", type=int, help="of text: only the last so many layers learn (default: the protocol's)")
    add(
        "--precision",
        choices=("fp32", "bf16"),
        help="of all passes (default: the protocol's); bf16 takes "
        "many times as long on a processor that does not have it",
    )
    add("--epochs", type=int, help="passes over each task (default: the protocol's)")
    add("--task-ids", action="store_true", help="tell methods the task of each test example")
    add("--seeds", type=int, default=1, help="how many seeds (default 1)")
    add("--first-seed", type=int, default=0, help="the first of them (default 0)")
    add("--ratio", type=float, default=1.15, help="compute of derpp-thin over fine-tuning (default 1.15)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="change the night's recipe")
    add("--against", help="the method that differences are taken to (default er)")
    add("--only", action="append", help="ablation: only switches whose label holds this word")
    add("--workers", type=int, default=1, help="rows computed side by side (default 1)")
    add("--json", type=Path, help="results file; rows already in it are kept")
    add("--markdown", type=Path, help="write the table there")
    add("--svg", type=Path, help="write accuracy against compute there (not of lm5)")
    add(
        "--results",
        type=Path,
        nargs="+",
        default=[],
        help="claims: results files (default: docs/results)",
    )
    add("--measures", type=Path, help="claims: figures of tests.bench.engine (default: docs/measures.json)")
    add("--out", type=Path, help="claims: the page to write (default: docs/claims.md)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0; 2 for bad input, with its sentence; 130 after Ctrl-C."""
    console = Console(stderr=True)
    arguments = parser().parse_args(argv)
    try:
        if arguments.name == "claims":
            _claims(arguments)
        else:
            _benchmark(arguments, console)
    except NocturneInputError as error:
        console.print(error.message, style="red", markup=False, highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("Stopped. Rows that were finished are kept; the same command goes on from there.")
        return 130
    return 0


def _claims(arguments: argparse.Namespace) -> None:
    paths = arguments.results or sorted(RESULTS.glob("*.json"))
    page = claims_page([row for path in paths for row in _existing(path)], _measures(arguments.measures))
    out = arguments.out or (CLAIMS if CLAIMS.parent.is_dir() else Path(CLAIMS.name))
    out.write_text(page, encoding="utf-8")
    print(f"{out}: judged by {len(paths)} results files.")


def _measures(path: Path | None) -> dict[str, Any]:
    """What `tests.bench.engine --json` printed last, kept in a file."""
    if path is None:
        path = MEASURES
        if not path.exists():
            return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NocturneInputError(
            "benchmark.results",
            f"{shorten(path.name)} holds no measurements; keep the last line of `python -m "
            "tests.bench.engine --json` in it.",
        )
    return found


def _existing(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        raise NocturneInputError(
            "benchmark.results", f"There is no results file {shorten(path.name)}; run one first."
        )
    return read_rows(path)


def _recipe(changes: Sequence[str]) -> dict[str, Any]:
    """{"noise": 0.1} from ["noise=.1"]; values are numbers, none, or else words."""
    found: dict[str, Any] = {}
    for change in changes:
        name, _, text = change.partition("=")
        try:
            found[name] = None if text.strip().lower() in ("none", "null") else float(text)
        except ValueError:
            found[name] = text
    return found


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.json is None:
        raise NocturneInputError(
            "benchmark.results", "Name the results file with --json; a run goes on from it."
        )
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    if arguments.first_seed < 0:
        raise NocturneInputError("benchmark.count", "The first seed must be 0 or more.")
    epochs = 1 if arguments.epochs is None else arguments.epochs
    if arguments.seeds < 1 or arguments.workers < 1 or epochs < 1:
        raise NocturneInputError("benchmark.count", "Seeds, workers and epochs must be 1 or more.")
    if not 1 <= arguments.ratio <= 3:
        raise NocturneInputError(
            "benchmark.ratio", f"The ratio is {arguments.ratio:g}; derpp-thin can spend 1 to 3."
        )
    buffer = arguments.buffer
    if buffer is None and arguments.buffer_bytes is None:
        buffer = 500
    if (buffer or arguments.buffer_bytes or 0) < 1:
        raise NocturneInputError("benchmark.buffer", "The memories' budget must be 1 or more.")
    methods = [word.strip() for word in arguments.methods.split(",") if word.strip()]
    for method in methods:
        if method not in METHODS:
            raise NocturneInputError(
                "benchmark.method",
                f"No method is called {shorten(method)!r}; there are {', '.join(METHODS)}.",
            )
    switches = arguments.name == "ablation"
    against = arguments.against or (ablation.DEFAULT if switches else "er")
    if arguments.against and against not in ([ablation.DEFAULT] if switches else methods):
        raise NocturneInputError(
            "benchmark.method", f"Differences to {shorten(against)!r} need its rows: add it to --methods."
        )
    base = RowSpec(
        benchmark="permuted-mnist" if switches else arguments.name, method="sleep", seed=0,
        tasks=arguments.tasks, model=arguments.model, epochs=arguments.epochs,
        examples=arguments.examples, layers=arguments.layers, precision=arguments.precision,
        buffer=buffer, buffer_bytes=arguments.buffer_bytes,
        codec=arguments.codec, task_ids=arguments.task_ids, ratio=arguments.ratio,
        recipe=_recipe(arguments.set),
    )  # fmt: skip
    if switches:
        wanted = ablation.specs(base, seeds, ablation.chosen(arguments.only))
    else:
        wanted = {method: [base.like(method, seed) for seed in seeds] for method in methods}
    rows = run_all(
        [spec for found in wanted.values() for spec in found], arguments.json, data=arguments.data,
        download=arguments.download, workers=arguments.workers, console=console,
    )  # fmt: skip
    groups = {
        label: [row for row in rows if any(is_row_of(row, spec) for spec in found)]
        for label, found in wanted.items()
    }
    _show(arguments, groups, against)


def _show(arguments: argparse.Namespace, groups: dict[str, list[dict[str, Any]]], against: str) -> None:
    first = next(iter(groups.values()))[0]
    about = first["settings"]["protocol"]
    budget = (
        f"{arguments.buffer_bytes:,} bytes"
        if arguments.buffer_bytes
        else f"{arguments.buffer or 500} memories"
    )
    title = f"{arguments.name}: {about['tasks']} tasks, {about['model']}, {budget}, {arguments.codec}"
    own = arguments.model is None and arguments.epochs is None and Storage(arguments.codec, 1).lossless
    anchors = published(first["settings"]["benchmark"], about["tasks"]) if own else {}
    measure = MEASURES_OF.get(first["settings"]["benchmark"], table.ACCURACY)
    parts = {"": about["scenario"]}
    if "acc_task_il" in first:
        parts["_task_il"] = "task-incremental (the same runs, told the task)"
    pages = []
    out = Console()
    out.width = max(out.width, 140)  # a table cut to a narrow screen says nothing
    for suffix, scenario in parts.items():
        found = table.lines(groups, anchors, suffix=suffix, against=against, measure=measure)
        out.print(table.rich_table(f"{title}, {scenario}", found, against, measure))
        pages.append(table.markdown_table(f"{title}, {scenario}", found, against, measure))
        if arguments.svg and not suffix and measure is not table.PERPLEXITY:
            arguments.svg.write_text(compute_plot(title, found), encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(pages), encoding="utf-8")
