"""Data sets of scenes that are drawn on this machine, the same bytes everywhere."""
