"""An item as a picture: what its file shows, or what was packed of it."""

from PIL import Image

from labelgap.core.errors import DataError
from labelgap.data.apart import picture_apart
from labelgap.project.images.found import Unreadable
from labelgap.project.images.items import Item
from labelgap.project.keep.store import Project


def original(project: Project, item: Item, longest: int) -> Image.Image | None:
    """What the item's file shows, up to `longest` pixels; None where it is gone or another.

    A file that was edited since the last `add` shows what nobody has asked about: its answer
    would be stored for the contents of before.
    """
    try:
        data = project.reader.read(item.path)
        same = item.has_content(data)
        return picture_apart(data, longest, project.pixels.scales) if same else None
    except (Unreadable, DataError):
        return None


def packed(project: Project, item: Item) -> Image.Image:
    """The square that the network sees. Raises `DataError` where it is not packed."""
    if item.id in project.items.unpacked():
        raise DataError(
            f"{item.path} is gone, and nothing is packed of it.",
            "Put the file back and run `labelgap add`.",
        )
    return Image.fromarray(project.pixels.open(project.items.count())[item.id])
