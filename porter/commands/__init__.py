"""What the command line does, one verb a module.  Functions here take values, return values, and print nothing."""
