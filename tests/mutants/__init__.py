"""Seeded mistakes: what a port gets wrong, and the check that has to see it."""
