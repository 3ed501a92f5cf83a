"""Checkpoints (.pt files): what is in one, read without running anything in it."""
