"""How fast a tree trains: figures of runs taken in turn, compared, and kept over commits."""
