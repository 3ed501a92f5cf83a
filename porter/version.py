"""The version: of the package, and in what porter writes."""

__version__ = "0.1.0"
