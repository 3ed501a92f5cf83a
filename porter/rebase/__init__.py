"""Patches on other files than those that they were written for: bump, drift, and what export and necessity need."""
