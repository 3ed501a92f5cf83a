"""Tests on the real v6.0: what the stacks do to it, seen from outside, in child processes."""
