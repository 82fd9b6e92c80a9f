"""`manage.py up`: run everything."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from webapp.core.embedded import EmbeddedPostgresError
from workers.launcher.errors import LauncherError
from workers.launcher.parts import PARTS
from workers.launcher.up import up

EXAMPLES = """examples:
  python manage.py up                       everything, on 127.0.0.1, port 8000 or the next free one
  python manage.py up --port 8500           on that port or not at all
  python manage.py up --files ~/models      its owner may take files in from there without sending them
  python manage.py up --no-nights           no cycles run here (another machine runs them)
  NOCTURNE_URL=https://nocturne.example python manage.py up --host 0.0.0.0
  DATABASE_URL=postgresql://nocturne@db.example/nocturne python manage.py up
"""


class Command(BaseCommand):
    help = "Run Nocturne: the database (embedded unless DATABASE_URL is set), web, workers and clock."
    requires_system_checks: list[str] = []  # noqa: RUF012  (Django's own name; checks cost half a start)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name,
            subcommand,
            epilog=EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **kwargs,
        )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, help="port to listen on (default: 8000 or the next free one)")
        parser.add_argument(
            "--files",
            action="append",
            default=[],
            metavar="FOLDER",
            help="the owner may take files in from this folder without sending them; may be repeated",
        )
        for part in PARTS:
            parser.add_argument(f"--no-{part}", action="store_true", help=f"leave {part} out")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit codes: 0 after a stop that was asked for, 1 with one sentence otherwise."""
        # Until the supervisor takes signals over, both ways to ask for an end look the same.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        parts = [part for part in PARTS if not options[f"no_{part}"]]
        try:
            up(host=options["host"], port=options["port"], parts=parts, files=options["files"], say=self._say)
        except (LauncherError, EmbeddedPostgresError) as problem:
            self.stderr.write(f"{problem.message} [{problem.code}]")
            sys.exit(1)
        except KeyboardInterrupt:
            self._say("Stopped before it was ready.")

    def _say(self, line: str) -> None:
        try:
            self.stdout.write(line)
            self.stdout.flush()
        except OSError:
            pass  # the terminal is gone; what matters is in the logs
