"""A person's folder of images: init, ask, label, train, predict, and never losing a label."""
