"""Circuits: one file per operation and one per architecture, each with its equations numbered in its docstring."""
