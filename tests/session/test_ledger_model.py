"""Any sequence of events, reopenings included, equals a plain model written from the rules."""

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from labelgap.core.errors import LedgerError
from labelgap.core.types import QueryItem
from labelgap.ledger.ledger import Ledger

ITEMS = 5  # few, so that persons meet on them
IDS = st.integers(0, ITEMS - 1)
LABELS = st.integers(0, 3)
PERSONS = st.sampled_from(["", "anna"])
REASONS = st.sampled_from(["skip", "unsure", "bad image"])


class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        # Durability is not at stake here, and a file system in memory is ten times faster.
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.path = self.folder / "ledger.sqlite"
        self.ledger = Ledger.open(self.path)
        self.ledger.set_classes(4)
        self.asked = []  # (round, id) in order
        self.stacks = {}  # id -> person -> [(seq, value)]
        self.first_round = {}  # never asked -> round of its first standing answer
        self.held = set()
        self.requests = {}  # request -> (call, event)
        self.seq = 1

    def teardown(self):
        self.ledger.close()
        shutil.rmtree(self.folder)

    # ----- the model's view

    def tops(self, id):
        return {p: s[-1] for p, s in self.stacks.get(id, {}).items() if s}

    def label(self, id):
        labels = [top for top in self.tops(id).values() if isinstance(top[1], int)]
        return max(labels)[1] if labels else None

    def asked_ids(self):
        return [id for _, id in self.asked]

    def push(self, event, id, person, value):
        self.seq += 1
        assert event.seq == self.seq
        if not self.tops(id):
            self.first_round[id] = event.round
        self.stacks.setdefault(id, {}).setdefault(person, []).append((event.seq, value))

    # ----- rules

    @initialize()
    def start(self):
        assert self.ledger.round == -1

    @rule(ids=st.lists(IDS, max_size=4), later=st.integers(0, 1))
    def ask(self, ids, later):
        round = max((r for r, _ in self.asked), default=0) + later
        query = [QueryItem(id, score=id / 2) for id in ids]
        free = [id for id in ids if id not in self.asked_ids() and not self.tops(id)]
        if free != ids or len(set(ids)) != len(ids):
            with pytest.raises(LedgerError):
                self.ledger.asked(round, query)
        else:
            self.ledger.asked(round, query)
            self.asked += [(round, id) for id in ids]
            self.seq += len(ids)

    @rule(id=IDS, label=LABELS, person=PERSONS, retry=st.booleans())
    def answer(self, id, label, person, retry):
        had = self.label(id) is not None
        request = f"request {self.seq}" if retry else None
        event = self.ledger.answer(id, label, person=person, request=request)
        assert event.kind == ("corrected" if had else "labelled")
        self.push(event, id, person, label)
        if retry:
            self.requests[request] = ((id, label, person), event)

    @rule(id=IDS, reason=REASONS, person=PERSONS)
    def skip(self, id, reason, person):
        self.push(self.ledger.skip(id, reason, person=person), id, person, reason)

    @rule(id=IDS, person=PERSONS)
    def undo(self, id, person):
        stack = self.stacks.get(id, {}).get(person)
        if not stack:
            with pytest.raises(LedgerError):
                self.ledger.undo(id, person=person)
            return
        event = self.ledger.undo(id, person=person)
        assert event.data == {"undoes": stack.pop()[0]}
        self.seq += 1

    @rule(person=PERSONS)
    def undo_last(self, person):
        stacks = [s[person] for s in self.stacks.values() if s.get(person)]
        if not stacks:
            with pytest.raises(LedgerError):
                self.ledger.undo(person=person)
            return
        event = self.ledger.undo(person=person)
        assert event.data == {"undoes": max(stacks, key=lambda stack: stack[-1]).pop()[0]}
        self.seq += 1

    @rule(seq=st.integers(1, 60))
    def undo_seq(self, seq):
        for stacks in self.stacks.values():
            for stack in stacks.values():
                for entry in stack:
                    if entry[0] == seq:
                        self.ledger.undo(seq=seq)
                        stack.remove(entry)
                        self.seq += 1
                        return
        with pytest.raises(LedgerError):
            self.ledger.undo(seq=seq)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def retry(self, data):
        request = data.draw(st.sampled_from(sorted(self.requests)))
        (id, label, person), event = self.requests[request]
        assert self.ledger.answer(id, label, person=person, request=request) == event
        with pytest.raises(LedgerError):
            self.ledger.answer(id, (label + 1) % 4, person=person, request=request)

    @rule(ids=st.lists(IDS, max_size=3))
    def hold_out(self, ids):
        self.ledger.hold_out(ids)
        self.seq += len(set(ids) - self.held)
        self.held |= set(ids)

    @rule(lock=st.booleans())
    def reopen(self, lock):
        self.ledger.close()
        self.ledger = Ledger.open(self.path, lock=lock)

    @rule()
    def restore_from_snapshot(self):
        copy = self.ledger.snapshot(self.folder / "copy.sqlite")
        self.ledger.close()
        copy.replace(self.path)
        self.ledger = Ledger.open(self.path)

    # ----- invariants

    @invariant()
    def same_state(self):
        assert self.ledger.seq == self.seq
        known = [id for id in range(ITEMS) if self.tops(id)]
        labels = {id: self.label(id) for id in known if self.label(id) is not None}
        assert self.ledger.labels == labels
        assert self.ledger.skipped == {
            id: max(self.tops(id).values())[1] for id in known if id not in labels
        }
        assert self.ledger.held_out == self.held
        assert self.ledger.round == max((r for r, _ in self.asked), default=-1)
        open_ids = [id for id in self.asked_ids() if not self.tops(id)]
        assert self.ledger.outstanding_ids().tolist() == open_ids

        place = {id: (round, 0, k) for k, (round, id) in enumerate(self.asked)}
        for id in known:
            place.setdefault(id, (self.first_round[id], 1, id))
        order = sorted(labels, key=place.__getitem__)
        assert self.ledger.labelled_ids("all").tolist() == order
        assert self.ledger.labelled_ids().tolist() == [i for i in order if i not in self.held]
        assert self.ledger.labelled_ids("held-out").tolist() == [i for i in order if i in self.held]

    @invariant()
    def same_conflicts(self):
        wanted = {}
        for id in range(ITEMS):
            tops = sorted(self.tops(id).values())
            stated = {v for _, v in tops if v not in ("skip", "unsure")}
            if len(stated) > 1:
                wanted[id] = [seq for seq, _ in tops]
        found = self.ledger.conflicts()
        assert {id: [e.seq for e in events] for id, events in found.items()} == wanted


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedgerModel = Machine.TestCase
