"""The append-only log of everything asked and answered: it is the state of every loop."""

from labelgap.ledger.ledger import LEDGER, Ledger

__all__ = ["LEDGER", "Ledger"]
