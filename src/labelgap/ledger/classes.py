"""The labels that a ledger takes, and what they mean."""

from collections.abc import Sequence
from typing import Any

from labelgap.core.errors import LedgerError
from labelgap.core.types import NONE_OF_THESE
from labelgap.ledger.log import Log


class Classes(Log):
    """Classes are fixed once; further ones come behind them."""

    def set_classes(
        self,
        num_classes: int,
        *,
        none_of_these: bool = False,
        names: Sequence[str] | None = None,
    ) -> None:
        """Fix the labels: 0 … num_classes − 1, and −1 too if `none_of_these`. Once for ever.

        names: what the labels mean; a ledger without names takes them once.

        Saying the same again is harmless; anything else raises `LedgerError`.
        """
        wanted: dict[str, Any] = {"num_classes": num_classes, "none_of_these": none_of_these}
        if num_classes < 1:
            raise LedgerError(f"num_classes is {num_classes}.", "There must be one at least.")
        if names is not None:
            wanted["names"] = list(names)
        with self._writing() as database:
            known = dict(self._state.classes or {})
            if names is None:
                known.pop("names", None)
            nameless = "names" not in known and {**known, "names": wanted.get("names")} == wanted
            if not known or nameless:
                self._append(database, "classes", data=wanted)
            elif known != wanted:
                raise LedgerError(
                    f"{self._name} has {known}, and now {wanted} is given.",
                    "Labels of one ledger are fixed; begin another one.",
                )

    def add_classes(self, names: Sequence[str]) -> None:
        """Further classes behind the others, whose labels keep their meaning.

        Raises `LedgerError` where the ledger does not know its classes by name.
        """
        with self._writing() as database:
            known = self._state.classes
            if known is None or "names" not in known:
                raise LedgerError(
                    f"{self._name} does not know its classes by name.",
                    "Call set_classes with names first.",
                )
            all_names = [*known["names"], *names]
            data = {**known, "num_classes": len(all_names), "names": all_names}
            self._append(database, "classes", data=data)

    def _check_label(self, id: int, label: int) -> None:
        classes = self._state.classes
        if classes is None:
            raise LedgerError(
                f"{self._name} does not know its classes yet.", "Call set_classes first."
            )
        least = NONE_OF_THESE if classes["none_of_these"] else 0
        if not least <= label < classes["num_classes"]:
            raise LedgerError(
                f"Label {label} of item {id} is not one of {least} … {classes['num_classes'] - 1}.",
                "Give the number of a class.",
            )
