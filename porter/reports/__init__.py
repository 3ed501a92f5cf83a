"""One page that shows what porter's commands found: records in, HTML out.

A record is the JSON that ``porter verify``, ``verify --necessity``, ``bench`` or ``drift`` wrote.  Nothing is measured
here and nothing is asked: the same records and the same stacks give the same bytes.
"""
