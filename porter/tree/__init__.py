"""A ported tree on disk: what it holds, and moving it from one commit to another so that nothing is lost."""
