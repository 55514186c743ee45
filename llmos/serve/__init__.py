"""An OpenAI-compatible server over the kernel, and the terminal face in a browser."""
