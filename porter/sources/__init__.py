"""Upstream's files and history: from a git server or a package index, checked, kept in the cache."""
