"""How fast a tree trains: figures of runs taken in turn, compared, and kept over commits.

``porter bench`` is made of it, and the programs in the checkout's ``benchmarks/`` take their turns with it.
"""
