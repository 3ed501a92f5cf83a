"""The commands that keep a port alive while upstream and its own patches move."""
