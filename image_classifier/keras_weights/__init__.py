"""Weights of keras.applications as slim checkpoints, and back: a table a net."""
