"""porter: hardware ports of ultralytics/yolov5 v6.0, kept as ordered stacks of small patches."""

__version__ = "0.1.0"
