"""What the cells of a benchmark say: collected, audited, compared."""
