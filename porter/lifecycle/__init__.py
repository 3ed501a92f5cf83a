"""What a port needs over the years that come after it was made."""
