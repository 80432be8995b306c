"""A frozen backbone: its features, computed once, and what trains on them."""
