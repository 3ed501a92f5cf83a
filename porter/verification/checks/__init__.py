"""What verify proves."""

from porter.verification.checks import device, figures, inference, promises, running, source, training  # noqa: F401
