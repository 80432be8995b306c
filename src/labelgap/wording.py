"""Words for people."""


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number and its noun: "1 file", "2 files"; `many` where an s does not make the plural."""
    return f"{n} {one if n == 1 else many or one + 's'}"
