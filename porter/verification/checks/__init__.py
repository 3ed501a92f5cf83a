"""What verify proves, in the order in which it is reported."""

from porter.verification.checks import source, training, running, promises, inference, device  # noqa: F401, I001  the order counts
