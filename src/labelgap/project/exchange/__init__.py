"""Labels and models in and out of a project."""
