"""What the data looks like: every feature once, and the reviewed schema."""
