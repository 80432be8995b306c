"""The mathematics that names the package: two mixtures, what lies between them, a critic."""
