"""Data sets and checkpoints from the network: mirrors, retries, resumed downloads, digests."""
