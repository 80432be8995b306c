"""The benchmark: a grid of paired runs, audited before a figure is drawn of them."""
