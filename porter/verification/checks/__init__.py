"""What verify proves."""

from porter.verification.checks import device, inference, promises, running, source, training  # noqa: F401
