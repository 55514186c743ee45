"""RAM for LLMOS: pages that leave the context window are indexed, and come back when asked for."""
