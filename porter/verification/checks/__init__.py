"""What verify proves."""

from porter.verification.checks import (  # noqa: F401
    device,
    figures,
    inference,
    outside,
    promises,
    running,
    source,
    training,
)
