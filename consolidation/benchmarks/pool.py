"""Runs the rows that are still missing, one after the other or in processes side by side, with a bar."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from consolidation.benchmarks.results import is_row_of, read_rows, write_rows
from consolidation.benchmarks.run import RowSpec, run_row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.queues import Queue

    from rich.console import Console

_ticks: Queue[tuple[int, int, int] | None] | None = None


def run_all(
    specs: Sequence[RowSpec], path: Path, *, data: Path | None, download: bool, workers: int, console: Console
) -> list[dict[str, Any]]:
    """Rows of `specs`, in their order; those already in `path` are kept, new ones are added to it at once.

    Raises:
        NocturneInputError: of the first row that cannot be run; the rows before it are in the file.
        KeyboardInterrupt: likewise; the same command goes on from there.
    """
    kept = read_rows(path)

    def found(spec: RowSpec) -> dict[str, Any] | None:
        return next((row for row in kept if is_row_of(row, spec)), None)

    def done(row: dict[str, Any]) -> None:
        kept.append(row)
        write_rows(path, kept)

    todo: list[RowSpec] = []
    for spec in specs:
        if found(spec) is None and spec not in todo:
            todo.append(spec)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        rows_bar = bar.add_task("rows", total=len(todo))
        if workers > 1 and len(todo) > 1:
            _side_by_side(todo, data, download, min(workers, len(todo)), bar, done, rows_bar)
        else:
            for spec in todo:
                line = bar.add_task(f"{spec.method}, seed {spec.seed}", total=None)

                def tick(task: int, of: int, line: Any = line) -> None:
                    bar.update(line, completed=task, total=of)

                done(run_row(spec, data, download, tick))
                bar.remove_task(line)
                bar.advance(rows_bar)
    rows = [row for spec in specs if (row := found(spec)) is not None]
    return [row for index, row in enumerate(rows) if row not in rows[:index]]


def _side_by_side(
    todo: Sequence[RowSpec],
    data: Path | None,
    download: bool,
    workers: int,
    bar: Progress,
    done: Callable[[dict[str, Any]], None],
    rows_bar: Any,
) -> None:
    # fork after torch has used its threads hangs
    context = multiprocessing.get_context("spawn")
    ticks: Queue[tuple[int, int, int] | None] = context.Queue()
    lines: dict[int, Any] = {}

    def listen() -> None:
        while (item := ticks.get()) is not None:
            number, task, of = item
            if number not in lines:
                spec = todo[number]
                lines[number] = bar.add_task(f"{spec.method}, seed {spec.seed}", total=of)
            bar.update(lines[number], completed=task, visible=task < of)

    listener = Thread(target=listen, daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(ticks, os.getpid()))
    try:
        futures = [pool.submit(_row, number, spec, data, download) for number, spec in enumerate(todo)]
        for future in as_completed(futures):
            done(future.result())
            bar.advance(rows_bar)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):
            with suppress(OSError):
                process.terminate()
        raise
    finally:
        ticks.put(None)
        listener.join(timeout=5)
    pool.shutdown()


def _begin(queue: Queue[tuple[int, int, int] | None], parent: int) -> None:
    """In a worker process: where to report, and that it ends when its parent was killed."""
    global _ticks
    _ticks = queue

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _row(number: int, spec: RowSpec, data: Path | None, download: bool) -> dict[str, Any]:
    def tick(task: int, of: int) -> None:
        if _ticks is not None:
            _ticks.put((number, task, of))

    return run_row(spec, data, download, tick)
