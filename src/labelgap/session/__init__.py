"""Fit, ask, tell, evaluate: one loop over one task, in one folder."""

from labelgap.session.session import Session

__all__ = ["Session"]
