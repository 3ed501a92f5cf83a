"""Data sets to train on: scenes drawn on this machine, and any data set checked before it costs a training."""
