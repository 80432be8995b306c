"""A query as rows of the ledger, and back."""

import numpy as np

from labelgap.core.types import Query
from labelgap.ledger.events import QueryItem


def as_query(items: list[QueryItem]) -> Query:
    """Items of the ledger as a query."""
    scores = [item.score for item in items]
    pseudo = [item.pseudo_label for item in items]
    names = items[0].parts if items else {}
    known = all(s is not None for s in scores) and bool(items)
    predicted = all(p is not None for p in pseudo) and bool(items)
    return Query(
        np.array([item.id for item in items], dtype=np.int64),
        np.array(scores, dtype=np.float64) if known else None,
        {
            name: np.array([item.parts[name] for item in items], dtype=np.float64)
            for name in names
            if all(name in item.parts for item in items)
        },
        np.array(pseudo, dtype=np.int64) if predicted else None,
        round=items[0].round if items else -1,
    )


def query_items(query: Query) -> list[QueryItem]:
    return [
        QueryItem(
            int(id),
            None if query.score is None else float(query.score[i]),
            {name: float(values[i]) for name, values in query.parts.items()},
            None if query.pseudo_label is None else int(query.pseudo_label[i]),
        )
        for i, id in enumerate(query.ids)
    ]
