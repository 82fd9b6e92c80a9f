"""Benchmarks on real data: `python -m consolidation.benchmarks --help`."""
