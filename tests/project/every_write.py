"""One of every kind of write to a labelling project, as plain data that can be done again.

What a write is of (which image, which class, which earlier write) is drawn from what the project
holds at that moment, so a twin of the project can draw it and both can do it.
"""

import csv
import random

from small_project import CLASSES

from labelgap.core.errors import LabelgapError
from labelgap.core.types import Answer
from labelgap.project.exchange.exchange import import_file
from labelgap.project.keep.backup import backup
from labelgap.project.keep.doctor import set_aside
from labelgap.project.keep.kept import in_force
from labelgap.project.keep.keys import own_keys, set_key
from labelgap.project.keep.restore import restore
from labelgap.project.keep.store import Project
from labelgap.project.server.desk import Desk
from labelgap.project.server.reviews import Reviews

KINDS = (
    "answer", "skip", "undo", "bulk", "leave-out", "undo-bulk", "keep", "ask-these", "test",
    "rename", "merge", "remove", "add", "key", "import", "set-aside", "restore",
)  # fmt: skip
PERSON = "anna"


class Place:
    """One copy of the project: its folder, its files beside it, and the open project."""

    def __init__(self, root, beside):
        self.root, self.beside = root, beside
        self.project = Project.open(root)

    def close(self):
        self.project.close()

    def events(self):
        return told(self.project)


def told(project):
    """The log without what differs between two honest copies: the time, and how a restored copy
    calls the copies that it was compared with."""
    found = []
    for event in project.ledger.events():
        facts = event.as_dict()
        del facts["time"]
        if event.kind == "restored":
            facts["data"] = {"from": facts["data"]["from"]}
        found.append(facts)
    return found


class Draws:
    """Draws writes that the project, as it stands, has a use for."""

    def __init__(self, seed, images):
        self.rng, self.images, self.number = random.Random(seed), images, 0
        self.bulks = []

    def draw(self, kind, project):
        """A write as (kind, what it is of), or None where there is nothing for it now."""
        self.number += 1
        rng, ledger, request = self.rng, project.ledger, f"request-{self.number:06d}"
        classes = project.classes
        of = {"request": request}
        some = rng.sample(range(self.images), 8)
        if kind in ("answer", "skip"):
            waiting = [item.id for item in ledger.outstanding()]
            of["id"] = rng.choice(waiting) if waiting and rng.random() < 0.7 else some[0]
            of |= (
                {"label": rng.randrange(len(classes))} if kind == "answer" else {"reason": "unsure"}
            )
        elif kind == "undo":
            mine = ledger.history(limit=20, person=PERSON)
            if not mine:
                return None
            of["id"] = rng.choice(mine).id
        elif kind == "bulk":
            of |= {"ids": some, "label": rng.randrange(len(classes))}
        elif kind == "leave-out":
            of |= {"ids": some[:3], "skip": "skip"}
        elif kind == "undo-bulk":
            if not self.bulks:
                return None
            last = self.bulks.pop()
            of |= {"of": last["request"], "ids": last["ids"]}
        elif kind == "keep":
            standing = sorted(in_force(ledger).items())
            if not standing:
                return None
            id, (answer, _) = rng.choice(standing)
            of |= {"id": id, "answer": answer}
        elif kind == "ask-these":
            of = {"ids": some}
        elif kind == "test":
            of = {"n": rng.randint(1, 3)}
        elif kind == "rename":
            of = {"what": "rename", "names": [rng.choice(classes)], "to": f"c{self.number}"}
        elif kind in ("merge", "remove"):
            if len(classes) <= len(CLASSES):
                return None
            names = rng.sample(classes, 2 if kind == "merge" else 1)
            of = {"what": kind, "names": names, "to": names[0] if kind == "merge" else None}
        elif kind == "add":
            if len(classes) >= 9:
                return None
            of = {"what": "add", "names": [f"c{self.number}"], "to": None}
        elif kind == "key":
            name = rng.choice(classes)
            free = [c for c in "adefhijklmopqrtwxy" if c not in own_keys(ledger).values()]
            of = {"name": name, "key": rng.choice(free)}
        elif kind == "import":
            paths = project.items.paths()
            names = sorted(paths)
            rows = [(rng.choice(names), rng.choice(classes)) for _ in range(6)]
            of = {"file": f"{request}.csv", "rows": rows}
        elif kind == "set-aside":
            of = {"id": 10_000 + self.number, "request": request}
        elif kind == "restore":
            of = {}
        else:
            raise AssertionError(kind)
        return kind, of

    def done(self, write):
        kind, of = write
        if kind in ("bulk", "leave-out"):
            self.bulks.append(of)
        elif kind == "restore":
            self.bulks.clear()


def do(place, write):
    """Do it as the page or the command does; done again it must change nothing."""
    kind, of = write
    project = place.project
    if kind == "answer":
        Desk(project).store({"kind": "label", **of}, PERSON)
    elif kind == "skip":
        Desk(project).store({"kind": "skip", **of}, PERSON)
    elif kind == "undo":
        Desk(project).store({"kind": "undo", **of}, PERSON)
    elif kind in ("bulk", "leave-out"):
        Reviews(project).answer(of, PERSON)
    elif kind == "undo-bulk":
        Reviews(project).undo(of, PERSON)
    elif kind == "keep":
        Reviews(project).keep(of, PERSON)
    elif kind == "ask-these":
        Reviews(project).ask(of, PERSON)
    elif kind == "test":
        from labelgap.project.asking.testing import ask_to_test
        from labelgap.project.asking.work import Work

        ask_to_test(Work(project, device="cpu"), of["n"])
    elif kind in ("rename", "merge", "remove", "add"):
        project.change_classes(of["what"], of["names"], of["to"])
    elif kind == "key":
        set_key(project.ledger, of["name"], of["key"])
    elif kind == "import":
        file = place.beside / of["file"]
        with file.open("w", newline="") as sink:
            csv.writer(sink).writerows([("path", "label"), *of["rows"]])
        import_file(project, file)
    elif kind == "set-aside":
        stranger = Answer(of["id"], 0, "", PERSON, of["request"])
        project.ledger.tell([stranger])
        set_aside(project)
    elif kind == "restore":
        project.close()
        restore(place.root, place.beside / "kept.zip", yes=True)
        place.project = Project.open(place.root)
    else:
        raise AssertionError(kind)


def keep_copy(place):
    """The backup that `restore` goes back to."""
    return backup(place.project, place.beside / "kept.zip")


REFUSED = LabelgapError
