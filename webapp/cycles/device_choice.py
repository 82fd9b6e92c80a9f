"""On which kind of device a new cycle shall run: asked only where the fleet has more than one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from webapp.cycles.waiting import device_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webapp.fleet.models import Worker


def device_choices(workers: Sequence[Worker], chosen: str = "") -> list[dict[str, str]]:
    """[{"value", "label"}] for a list to choose from, any first; empty when there is nothing to choose.

    Args:
        workers: those alive.
        chosen: what the form said; it stays in the list though its worker has left meanwhile.
    """
    names = {"cpu": _("processor (cpu)"), "cuda": _("GPU (cuda)"), "mps": _("Apple GPU (mps)")}
    there = {kind for worker in workers if (kind := device_kind(worker)) in names}
    kinds = sorted(there | ({chosen} & set(names)))
    if len(kinds) < 2 and not chosen:
        return []
    return [{"value": "", "label": _("any")}, *({"value": kind, "label": names[kind]} for kind in kinds)]
