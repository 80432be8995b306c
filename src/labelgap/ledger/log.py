"""Transactions on the event log: open, read, write, replay what is new."""

# Only these kinds need their data for the state; reading the others' would double the time to
# open a ledger.
REPLAY = (
    "SELECT seq, kind, id, round, person, label,"
    " CASE WHEN kind IN ('skipped', 'undone', 'classes') THEN data END"
    " FROM events WHERE seq > ? ORDER BY seq"
)
