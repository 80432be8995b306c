"""Which cells a benchmark has, and where they are kept."""
