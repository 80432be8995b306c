"""The images of a project: found, read, and known again."""
