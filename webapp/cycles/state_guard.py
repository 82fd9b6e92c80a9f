"""The table of states once more, as a trigger of the database: what code forgets, PostgreSQL refuses.

A migration installs `guard_sql()` as it was then; a test compares what is installed with the table of today.
"""

from __future__ import annotations

from typing import Final

from webapp.cycles.choices import TRANSITIONS

CONSTRAINT: Final = "cycle_state_step"
_NUMBERS: Final = "cycle_numbers_grow"


def guard_sql() -> str:
    """Statements that install the guard, or replace an older one.

    A refused write raises check_violation (Django: IntegrityError) under the constraint's name: of a step
    that the table does not have `cycle_state_step`, of an epoch or a frame number that goes back
    `cycle_numbers_grow`.
    """
    steps = ",\n        ".join(
        ", ".join(f"('{old}', '{new}')" for new in sorted(followers))
        for old, followers in sorted(TRANSITIONS.items())
        if followers
    )
    return f"""
CREATE OR REPLACE FUNCTION cycles_cycle_state_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := CASE TG_OP WHEN 'INSERT' THEN '' ELSE OLD.state END;
BEGIN
    IF (before, NEW.state::text) NOT IN (VALUES
        {steps}
    ) THEN
        RAISE EXCEPTION 'a cycle never goes from "%" to "%"', before, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = '{CONSTRAINT}', TABLE = 'cycles_cycle';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION cycles_cycle_numbers_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'epoch or seq of a cycle would go back'
        USING ERRCODE = 'check_violation', CONSTRAINT = '{_NUMBERS}', TABLE = 'cycles_cycle';
END $$;
CREATE OR REPLACE TRIGGER cycle_state_begins BEFORE INSERT ON cycles_cycle
    FOR EACH ROW EXECUTE FUNCTION cycles_cycle_state_step();
CREATE OR REPLACE TRIGGER cycle_state_step BEFORE UPDATE OF state ON cycles_cycle
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION cycles_cycle_state_step();
CREATE OR REPLACE TRIGGER cycle_numbers_grow BEFORE UPDATE OF epoch, seq ON cycles_cycle
    FOR EACH ROW WHEN (NEW.epoch < OLD.epoch OR NEW.seq < OLD.seq)
    EXECUTE FUNCTION cycles_cycle_numbers_grow();
"""


def states_table() -> str:
    """The table for the documentation, in Markdown."""
    rows = ["| from | to |", "|---|---|"]
    for old, followers in TRANSITIONS.items():
        order = [state for state in TRANSITIONS if state in followers]
        rows.append(f"| {old or '(new)'} | {', '.join(order) or 'nothing: it has ended'} |")
    return "\n".join(rows)
