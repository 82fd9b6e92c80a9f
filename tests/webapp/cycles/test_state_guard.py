"""What code forgets, the database refuses: illegal steps, numbers that go back."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, connection, transaction

from tests.support.rows_free import free_states
from webapp.cycles.choices import TRANSITIONS, State
from webapp.cycles.models import Cycle
from webapp.cycles.state_guard import guard_sql, states_table

if TYPE_CHECKING:
    from tests.support.jobs import Lab

DOCS = Path(__file__).resolve().parents[3] / "docs" / "cycles.md"


def test_the_installed_guard_is_that_of_the_table(db: None) -> None:
    def installed() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace "
                "WHERE nspname = current_schema() AND proname LIKE 'cycles_cycle_%' ORDER BY proname"
            )
            functions = [row[0] for row in cursor.fetchall()]
            cursor.execute(
                "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'cycles_cycle'::regclass "
                "AND NOT tgisinternal ORDER BY tgname"
            )
            return functions + [row[0] for row in cursor.fetchall()]

    before = installed()
    assert len(before) == 5
    with connection.cursor() as cursor:
        cursor.execute(guard_sql())
    assert installed() == before, "the table of states changed: it needs a migration with the new guard_sql()"


def test_every_step_between_two_states_is_as_the_table_says(lab: Lab) -> None:
    cycle = lab.wake()
    for old in State.values:
        for new in State.values:
            if old == new:
                continue
            with free_states():
                Cycle.objects.filter(pk=cycle.pk).update(state=old)
            legal = new in TRANSITIONS[old]
            try:
                with transaction.atomic():
                    Cycle.objects.filter(pk=cycle.pk).update(state=new)
            except IntegrityError as error:
                assert "never goes" in str(error)
                assert not legal, (old, new)
            else:
                assert legal, (old, new)


@pytest.mark.parametrize("state", State.values)
def test_a_cycle_begins_where_the_table_says(lab: Lab, state: str) -> None:
    make = {"project": lab.project, "number": 1, "kind": "sleep", "protocol": 1, "state": state}
    if state in TRANSITIONS[""]:
        Cycle.objects.create(**make)
        return
    with pytest.raises(IntegrityError), transaction.atomic():
        Cycle.objects.create(**make)


@pytest.mark.parametrize("number", ["epoch", "seq"])
def test_epochs_and_frame_numbers_only_grow(lab: Lab, number: str) -> None:
    cycle = lab.wake()
    Cycle.objects.filter(pk=cycle.pk).update(**{number: 7})
    with pytest.raises(IntegrityError), transaction.atomic():
        Cycle.objects.filter(pk=cycle.pk).update(**{number: 6})
    Cycle.objects.filter(pk=cycle.pk).update(**{number: 8})


def test_random_walks_are_refused_exactly_where_the_table_refuses(lab: Lab) -> None:
    dice = random.Random(5)
    cycle = lab.wake()
    state = State.QUEUED.value
    for _ in range(300):
        wanted = dice.choice(State.values)
        if wanted == state:
            continue
        if not TRANSITIONS[state]:
            with free_states():
                Cycle.objects.filter(pk=cycle.pk).update(state=State.QUEUED)
            state = State.QUEUED.value
            continue
        try:
            with transaction.atomic():
                Cycle.objects.filter(pk=cycle.pk).update(state=wanted)
        except IntegrityError:
            assert wanted not in TRANSITIONS[state]
        else:
            assert wanted in TRANSITIONS[state]
            state = wanted
        assert Cycle.objects.values_list("state", flat=True).get(pk=cycle.pk) == state


def test_the_documentation_shows_the_table() -> None:
    assert states_table() in DOCS.read_text(encoding="utf-8")
