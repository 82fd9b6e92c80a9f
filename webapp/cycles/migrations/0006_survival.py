from django.db import migrations, models

# What webapp.cycles.state_guard.guard_sql() gave when this was written.
GUARD = """
CREATE OR REPLACE FUNCTION cycles_cycle_state_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := CASE TG_OP WHEN 'INSERT' THEN '' ELSE OLD.state END;
BEGIN
    IF (before, NEW.state::text) NOT IN (VALUES
        ('', 'queued'), ('', 'scheduled'),
        ('blocked', 'cancelled'), ('blocked', 'failed'), ('blocked', 'paused'), ('blocked', 'queued'),
        ('cancelling', 'cancelled'),
        ('paused', 'cancelled'), ('paused', 'queued'),
        ('pausing', 'cancelling'), ('pausing', 'failed'), ('pausing', 'paused'), ('pausing', 'publishing'), ('pausing', 'quarantined'), ('pausing', 'queued'),
        ('publishing', 'failed'), ('publishing', 'quarantined'), ('publishing', 'queued'), ('publishing', 'rejected'), ('publishing', 'succeeded'),
        ('queued', 'blocked'), ('queued', 'cancelled'), ('queued', 'failed'), ('queued', 'paused'), ('queued', 'starting'),
        ('running', 'cancelling'), ('running', 'failed'), ('running', 'pausing'), ('running', 'publishing'), ('running', 'quarantined'), ('running', 'queued'),
        ('scheduled', 'cancelled'), ('scheduled', 'queued'),
        ('starting', 'cancelled'), ('starting', 'cancelling'), ('starting', 'failed'), ('starting', 'pausing'), ('starting', 'quarantined'), ('starting', 'queued'), ('starting', 'running')
    ) THEN
        RAISE EXCEPTION 'a cycle never goes from "%" to "%"', before, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'cycle_state_step', TABLE = 'cycles_cycle';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION cycles_cycle_numbers_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'epoch or seq of a cycle would go back'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'cycle_numbers_grow', TABLE = 'cycles_cycle';
END $$;
CREATE OR REPLACE TRIGGER cycle_state_begins BEFORE INSERT ON cycles_cycle
    FOR EACH ROW EXECUTE FUNCTION cycles_cycle_state_step();
CREATE OR REPLACE TRIGGER cycle_state_step BEFORE UPDATE OF state ON cycles_cycle
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION cycles_cycle_state_step();
CREATE OR REPLACE TRIGGER cycle_numbers_grow BEFORE UPDATE OF epoch, seq ON cycles_cycle
    FOR EACH ROW WHEN (NEW.epoch < OLD.epoch OR NEW.seq < OLD.seq)
    EXECUTE FUNCTION cycles_cycle_numbers_grow();
"""
DROP = """
DROP TRIGGER cycle_state_begins ON cycles_cycle;
DROP TRIGGER cycle_state_step ON cycles_cycle;
DROP TRIGGER cycle_numbers_grow ON cycles_cycle;
DROP FUNCTION cycles_cycle_state_step();
DROP FUNCTION cycles_cycle_numbers_grow();
"""


class Migration(migrations.Migration):
    dependencies = [("cycles", "0005_unfinished")]

    operations = [
        migrations.AddField("cycle", "device", models.CharField(blank=True, db_default="", max_length=8)),
        migrations.AddField("cycle", "memory_bytes", models.BigIntegerField(db_default=0, default=0)),
        migrations.AddField("cycle", "disk_bytes", models.BigIntegerField(db_default=0, default=0)),
        migrations.AddField(
            "cycle",
            "adapted",
            models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField("cycle", "extended", models.FloatField(db_default=0, default=0)),
        migrations.AddField("cycle", "deaths", models.PositiveIntegerField(db_default=0, default=0)),
        migrations.AddField("cycle", "died_at", models.BigIntegerField(db_default=0, default=0)),
        migrations.AddField("snapshot", "number", models.BigIntegerField(db_default=0, default=0)),
        migrations.RunSQL(GUARD, DROP),
    ]
