"""Measurements of whole layers; kernels are measured in benchmarks/cpp."""
