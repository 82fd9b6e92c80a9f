"""A night's progress on a terminal: one bar, its stage, and the decisions as they fall."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from types import TracebackType

    from consolidation.events import Event


class NightProgress:
    """A listener for engine events. Draws on standard error, and only when that is a terminal.

    Args:
        quiet: draw nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=40),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
            disable=quiet or not sys.stderr.isatty(),
            transient=True,
        )
        self._bar = self._progress.add_task("starting", total=1.0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        fields = event.to_json()
        if fields["kind"] == "stage_started":
            self._progress.update(self._bar, description=fields["stage"])
        elif fields["kind"] == "decision":
            mark = "kept" if fields["kept"] else "not kept"
            self._progress.console.print(f"{fields['name']}: {mark}; {fields['reason']}", highlight=False)
        self._progress.update(self._bar, completed=fields["progress"])
