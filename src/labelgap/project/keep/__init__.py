"""A project on disk: settings, backups, restore, doctor."""
