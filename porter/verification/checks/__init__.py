"""What verify proves."""

from porter.verification.checks import device, inference, outside, promises, running, source, training  # noqa: F401
