"""Which images a person is asked next, and why."""
