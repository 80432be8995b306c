"""The scales of a project: a range for each kind of pixels, from the images that bring it."""

from labelgap.data.scales import Rule, Scales
from labelgap.data.source import Item
from labelgap.data.wide import scales_of
from labelgap.project.images.found import Found, Unreadable
from labelgap.project.images.items import Items
from labelgap.project.images.readers import Reader


def choose_scales(
    found: list[Found], items: Items, reader: Reader, known: Scales, rule: Rule
) -> Scales:
    """The project's scales, with a range for each kind of pixels that is new."""
    seen = {f.path: (f.size, f.mtime_ns) for f in items.files("ok")}
    fresh = [
        place
        for place in found
        if not place.refused and seen.get(place.path) != (place.size, place.mtime_ns)
    ]

    def item(place: Found) -> Item:
        try:
            return place.path, reader.read(place.path)
        except Unreadable:
            return place.path, b""  # told when it is taken in

    return scales_of(fresh, lambda place: reader.head(place.path), item, known, rule)
