"""Prove that a tree trains: the checks, what runs them, and the report.

A check never imports the tree.  It starts programs in it, under the interpreter that is asked for, which
may not have porter; what runs there (``drivers/``, ``guard/``) needs the standard library and the tree.
"""
