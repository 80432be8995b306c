"""How good the model is, how good the labels are, and when to stop."""
