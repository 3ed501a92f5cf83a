"""The emulated device: a card that is not there, true to what the card can and cannot do."""
