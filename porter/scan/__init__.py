"""Facts out of a plugin's own source: what it registers, what its kernels demand, what its Python reaches.

Nothing is compiled and nothing of the plugin is imported.  `porter.scan.plugins.scan` is the way in; the rules for
reading one vendor's source are one small module each (sophgo, cambricon, ascend, moorethreads), the rest is the same
for all.
"""
