"""Members in a file: where they go, how they are written and read. Knows ZIP and blocks, and no manifest."""
