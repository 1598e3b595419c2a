"""Benchmarks: the peers' protocols as pure functions, and the stage that runs them over maps and masks."""
