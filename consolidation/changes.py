"""What may change from one attempt at a run to the next, without making it another run."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

# The fact of a run that says how many records go through the model at a time since memory ran out.
MICRO_BATCH: Final = "micro_batch"


class Changes(NamedTuple):
    """Snapshots from before the change are still good.

    Attributes:
        extended: this share of the planned steps of learning, or of a round's replay, on top of them.
        micro_batch: records at a time, because there was no memory for more; 0: as the recipe says.
    """

    extended: float = 0.0
    micro_batch: int = 0

    def steps(self, planned: int) -> int:
        """How many those are now."""
        return math.ceil(planned * (1 + self.extended))


NO_CHANGES: Final = Changes()
