"""Benchmarks: measured against peers, interleaved, with intervals."""
