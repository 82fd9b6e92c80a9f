"""Real workers, killed without end, and a judge: `python -m tests.chaos.soak --minutes 10 --seed 1`.

Every accepted cycle must end, once, with a whole result. The last line says how it went, for example
`seed 1 kills 214 cycles 61 lost 0 doubled 0 torn 0`; the exit code is 0 only when nothing at all was found.
The same seed gives the same faults at the same moments; what they meet there is up to the machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import psycopg

from tests.chaos.operations import Reader, Violation, read
from tests.chaos.plan import KILLS, faults
from tests.support import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.crew import Crew
    from tests.chaos.outliving import Outliving
    from tests.chaos.people import People
    from tests.chaos.plan import Fault
    from tests.chaos.striking import Striker
    from tests.support.jobs import Lab

TURN_SECONDS: Final = 0.1
# After the faults: what has not ended when nobody has done anything for so long will never end by itself.
SILENCE_SECONDS: Final = 45.0
DRAIN_SECONDS: Final = 600.0
_SAY_EVERY: Final = 15.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4, help="nights workers; each has its own device row")
    parser.add_argument(
        "--celery", type=int, default=1, help="so many of them under Celery, as in a deployment"
    )
    parser.add_argument("--projects", type=int, default=5)
    parser.add_argument("--faults", type=float, default=32, help="faults a minute, besides fault points")
    parser.add_argument("--database-url", default="", help="a PostgreSQL server; without it an embedded one")
    parser.add_argument("--broker-url", default="", help="a Redis; without it the database is the broker")
    parser.add_argument(
        "--keep", action="store_true", help="keep logs and operation logs even when all is well"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="nocturne-soak-"))
    try:
        with _settings(arguments.database_url, arguments.broker_url):
            code = _run(arguments, folder)
    except BaseException:
        print(f"The soak did not come to its end; logs are in {folder}")
        raise
    if code or arguments.keep:
        print(f"logs: {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return code


@contextmanager
def _settings(database_url: str, broker_url: str) -> Iterator[None]:
    """A database and a data folder of the soak's own, and Django on it; all gone afterwards."""
    os.environ["CELERY_BROKER_URL"] = broker_url
    os.environ.pop("DATABASE_URL", None)
    with ExitStack() as stack:
        if database_url:
            os.environ["DATABASE_URL"] = stack.enter_context(_own_database(database_url))
        environment.prepare()
        stack.callback(environment.tear_down)
        environment.ensure_database_server()
        import django
        from django.core.management import call_command
        from django.db import connections

        django.setup()
        stack.callback(connections.close_all)
        call_command("migrate", verbosity=0)
        yield


@contextmanager
def _own_database(server: str) -> Iterator[str]:
    name = f"nocturne_soak_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # our own name
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _run(arguments: argparse.Namespace, folder: Path) -> int:
    from tests.chaos.crew import Crew
    from tests.chaos.history import check
    from tests.chaos.outliving import Outliving, leftovers
    from tests.chaos.people import People
    from tests.chaos.striking import Striker
    from webapp.core.oplog import OpLog

    seed, seconds = arguments.seed, 60 * arguments.minutes
    crew = Crew(folder, {})
    people = People(_labs(arguments.projects), OpLog(crew.oplog), seed)
    striker = Striker(crew, people, seed)
    reader, outliving = Reader(crew.oplog), Outliving(crew)
    planned = list(faults(seed, seconds=seconds, slots=arguments.workers, a_minute=arguments.faults))
    found: list[Violation] = []
    try:
        crew.start(arguments.workers, celery=arguments.celery)
        found += _storm(crew, people, striker, reader, outliving, planned, seconds)
        found += _drain(crew, people, striker, reader, outliving)
    finally:
        stuck = crew.stop()
    found += [Violation("broken", name, "it did not stop within its time") for name in stuck]
    striker.notice(reader.news())
    found += [*check(read(crew.oplog)), *_endings(), *leftovers()]
    return _report(seed, people, striker, found)


def _labs(count: int) -> list[Lab]:
    """Projects that have a checkpoint and two tasks, one of them with memories."""
    import numpy as np

    from consolidation.demo import digits
    from tests.chaos.first import first_checkpoint
    from tests.support.jobs import Lab
    from webapp.memories.models import Use

    first = Lab.make()
    labs = [first, *(first.another_project(f"project {index}") for index in range(2, count + 1))]
    for lab in labs:
        for task in range(2):
            lab.put(task, Use.TRAINING)
            lab.put(task, Use.PROBE)
        lab.put(0, Use.MEMORIES, digits.demo_task(0).train.take(np.arange(digits.MEMORIES)))
        first_checkpoint(lab)
    return labs


def _storm(
    crew: Crew,
    people: People,
    striker: Striker,
    reader: Reader,
    outliving: Outliving,
    faults: list[Fault],
    seconds: float,
) -> Iterator[Violation]:
    """Work and faults, until the time is over."""
    began = time.monotonic()
    said = noticed = began
    while (now := time.monotonic()) - began < seconds:
        if now - noticed > 1:
            noticed = now
            striker.notice(reader.news())
        if now - said > _SAY_EVERY:
            said = now
            print(f"{now - began:4.0f} s  {_counts(striker.done)}", flush=True)
        people.keep_busy()
        while (
            faults and faults[0].at <= now - began and striker.strike(faults[0], now - began - faults[0].at)
        ):
            del faults[0]
        yield from _tended(crew, outliving)
        striker.restart(armed=True)
        time.sleep(TURN_SECONDS)


def _drain(
    crew: Crew, people: People, striker: Striker, reader: Reader, outliving: Outliving
) -> Iterator[Violation]:
    """No more faults: everything that was accepted comes to its end."""
    from webapp.cycles.choices import TERMINAL
    from webapp.cycles.models import Cycle

    began = heard = time.monotonic()
    while heard - began < DRAIN_SECONDS and time.monotonic() - heard < SILENCE_SECONDS:
        people.resume()
        yield from _tended(crew, outliving)
        striker.restart(armed=False)
        if news := reader.news():
            striker.notice(news)
            heard = time.monotonic()
        if not Cycle.objects.exclude(state__in=TERMINAL).exists():
            return
        time.sleep(TURN_SECONDS)


def _tended(crew: Crew, outliving: Outliving) -> Iterator[Violation]:
    yield from outliving.look(time.monotonic())
    for name in crew.tend():
        yield Violation("broken", name, "it did not stop within its time")


def _endings() -> Iterator[Violation]:
    """Faults within the rules end no cycle badly."""
    from webapp.cycles.choices import State
    from webapp.cycles.models import Cycle

    for cycle in Cycle.objects.filter(state__in=(State.FAILED, State.QUARANTINED)):
        sentence = f"it {cycle.state}: {cycle.error_code}: {cycle.error_message}"
        yield Violation("broken", f"{cycle} of {cycle.project} ({cycle.pk})", sentence)


def untested(ends: Counter[str], done: Counter[str]) -> Iterator[Violation]:
    """A run that proves nothing has not passed.

    Args:
        ends: how many cycles ended in each state.
        done: how often each kind of fault struck.
    """
    if not ends["succeeded"]:
        yield Violation("broken", "the soak", "no cycle succeeded")
    for whom in ("trainer", "supervisor"):
        if not done[whom] + done["both"]:
            yield Violation("broken", "the soak", f"no {whom} was struck")


def _report(seed: int, people: People, striker: Striker, found: list[Violation]) -> int:
    from webapp.cycles.models import Cycle

    ends = Counter(Cycle.objects.values_list("state", flat=True))
    attempts = sum(Cycle.objects.values_list("attempt", flat=True))
    found = [*untested(ends, striker.done), *found]
    for violation in found:
        print(violation)
    print(f"faults: {_counts(striker.done)}; spared {striker.spared}")
    print(f"requests: {_counts(people.asked)}")
    print(f"ends: {_counts(ends)}; attempts {attempts}; violations {len(found)}")
    kills = sum(striker.done[kind] for kind in KILLS)
    kinds = Counter(violation.kind for violation in found)
    told = " ".join(f"{kind} {kinds[kind]}" for kind in ("lost", "doubled", "torn"))
    print(f"seed {seed} kills {kills} cycles {sum(ends.values())} {told}", flush=True)
    return 1 if found else 0


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counted.items()) if number) or "none"


if __name__ == "__main__":
    sys.exit(main())
