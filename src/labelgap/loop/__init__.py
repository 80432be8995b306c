"""One benchmark run: an oracle answers at once, round after round, in one folder."""
