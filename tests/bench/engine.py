"""Measures the engine: the replay loop beside plain PyTorch, downscaling at scale, kills, the estimate.

    python -m tests.bench.engine                        all sections
    python -m tests.bench.engine --only replay,kill     some of them
    python -m tests.bench.engine --json                 one JSON object on the last line

Sections: replay (steps a second and peak memory of our loop and of a plain one that does the same
arithmetic, in turn), scaling (significance, prune and strengthen from 1e7 to 3e8 parameters: how time grows,
and what memory they take), kill (a night killed at 20 random moments and resumed: the same bits),
estimate (what `estimate` foretells beside what a night took), text (MiniLM and SmolLM2: the loop beside a
plain one, and the memory of a night of SmolLM2 by AdamW and of LoRA over it).

The exit code is 1 when a target is missed. Figures depend on what else the machine does; the load is printed
beside them.
"""

from __future__ import annotations

from tests.bench.command import run_sections

SECTIONS = ("replay", "scaling", "kill", "estimate", "text")

if __name__ == "__main__":
    raise SystemExit(run_sections(__doc__, SECTIONS, "engine_", None))
