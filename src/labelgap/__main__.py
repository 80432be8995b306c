"""`python -m labelgap`."""

from labelgap.cli import main

main()
