"""`python -m consolidation.benchmarks`."""

from consolidation.benchmarks.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
