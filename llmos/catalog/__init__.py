"""Models: what exists, what fits this machine, where it lies already, how it is fetched."""
