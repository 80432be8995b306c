"""The ground: errors, files, streams, devices, names, words. It knows nothing of learning."""
