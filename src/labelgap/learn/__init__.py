"""Training: stages of alternating phases, checkpoints, one pass for all outputs."""
