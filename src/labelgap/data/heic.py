"""HEIC, what telephones take photographs in: Pillow opens it once a plug-in is registered."""

from functools import cache


@cache
def register_heic() -> None:
    """Let Pillow of this process open HEIC and HEIF, for good; repeating it does nothing.

    Images come out upright, whatever their file says of rotation. An embedded thumbnail never
    stands in for the photograph: editors leave old ones behind, and people see the photograph.
    One thread each: several images are decoded at a time.
    """
    from pi_heif import register_heif_opener

    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
