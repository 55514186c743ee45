"""The kernel: the only place that imports llama_cpp; a worker process and its typed client."""
