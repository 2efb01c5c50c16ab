"""Circuits: one file per operation and one per architecture, each with its equations in its docstring."""
