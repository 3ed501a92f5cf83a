"""Changes that somebody else made, as a diff, mails, a series or a folder, read as patches for the stacks."""
