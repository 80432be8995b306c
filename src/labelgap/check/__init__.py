"""What every method must do, as checks that run on any method."""
