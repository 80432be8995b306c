"""Labels that were doubted and that a person looked at again and kept: notes in the ledger.

A note names the answer that it is about, not the class: when another label comes, the doubt may
come back; when a class is merely renamed, it stays away.
"""

from labelgap.core.errors import LedgerError
from labelgap.ledger.events import Event
from labelgap.ledger.ledger import Ledger

KEPT = "label-kept"


def in_force(ledger: Ledger) -> dict[int, tuple[int, int]]:
    """Labelled item -> (the number of the answer that its label is of, the label)."""
    found = {}
    for id, answers in ledger.answers_of_all().items():
        labels = [(seq, value) for seq, _, value in answers if isinstance(value, int)]
        if labels:
            found[id] = labels[-1]
    return found


def keep(
    ledger: Ledger,
    id: int,
    answer: int,
    *,
    kept: bool = True,
    person: str = "",
    request: str | None = None,
) -> Event:
    """Note that the label of an item stands; with `kept` false take that back.

    answer: number of the event that the label in force is of (`in_force`). A retry with the same
        `request` is stored once.

    Raises `LedgerError` where the item has another label by now, and for a request that was used
    for something else.
    """
    data = {"id": id, "answer": answer, "kept": kept}
    known = request is not None and ledger.has_request(request)
    if not known and in_force(ledger).get(id, (0, 0))[0] != answer:
        raise LedgerError(
            f"The label of item {id} was changed meanwhile.", "Look at it again before you keep it."
        )
    event = ledger.note(KEPT, data, person=person, request=request)
    if dict(event.data) != data:
        raise LedgerError(
            f"Request {request!r} was stored for item {event.data['id']}, and now comes for {id}.",
            "Give every answer a request id of its own.",
        )
    return event


def kept_answers(ledger: Ledger) -> set[int]:
    """Numbers of the answers that stand by a person's word."""
    found: set[int] = set()
    for event in ledger.notes(KEPT):
        (found.add if event.data["kept"] else found.discard)(event.data["answer"])
    return found
