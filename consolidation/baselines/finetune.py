"""Fine-tuning: each task by plain SGD, nothing against forgetting: the unit of compute."""

from __future__ import annotations

from consolidation.baselines.method import Learner


class Finetune(Learner):
    """theta <- theta - lr grad CE(f(x), y)."""

    name = "finetune"
