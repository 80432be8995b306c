"""What lies among images and is not read, by kind: so that nothing is left out in silence."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from labelgap.core.wording import counted

_SUFFIXES = {
    "camera RAW file": ".3fr .arw .cr2 .cr3 .crw .dng .erf .kdc .mef .mrw .nef .nrw .orf .pef .raf "
    ".raw .rw2 .rwl .sr2 .srf .srw .x3f",
    "video": ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .webm .wmv",
    "PDF": ".pdf",
    "image of a format that is not read": ".avif .dcm .dicom .exr .hdr .ico .j2k .jfif .jp2 .jxl "
    ".mpo .nii .psd .svg .tga .xcf",
    "archive": ".7z .bz2 .gz .rar .tar .tgz .xz .zip",
    "table": ".csv .json .jsonl .ndjson .parquet .tsv .xlsx",
}
_KINDS = {suffix: kind for kind, names in _SUFFIXES.items() for suffix in names.split()}
NO_SUFFIX = "image without the suffix of one"
LINKED = "link to a folder, not followed"
_MANY = {
    "table": "tables (`--manifest` or `labelgap import` reads one)",
    LINKED: "links to folders, not followed",
    NO_SUFFIX: "images without the suffix of one",
    "image of a format that is not read": "images of formats that are not read",
}
_PHOTOGRAPHS = (b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")

LeftOut = tuple[str, str]
"""A kind and a path."""


def kind_of_file(path: Path) -> str | None:
    """What a file is that is not read as an image, by suffix, else by its first bytes; None for
    one that nobody would look for among the images."""
    if (kind := _KINDS.get(path.suffix.casefold())) is not None:
        return kind
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return None
    if head[4:8] == b"ftyp":
        return NO_SUFFIX if head[8:12] in _PHOTOGRAPHS else "video"
    if head.startswith(b"%PDF-"):
        return "PDF"
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    bitmap = head[:2] == b"BM" and head[6:10] == b"\0\0\0\0"
    return NO_SUFFIX if head.startswith(_MAGIC) or webp or bitmap else None


def of_files(paths: Iterable[Path], root: Path, read: frozenset[str]) -> Iterator[LeftOut]:
    """Those of some files that are left out. read: suffixes of what is not."""
    for path in paths:
        if path.suffix.casefold() not in read and (kind := kind_of_file(path)) is not None:
            yield kind, path.relative_to(root).as_posix()


def summary(left_out: Iterable[LeftOut], all_of_them: bool = False) -> list[str]:
    """One line for each kind: how many, and the first; or all of them."""
    kinds: dict[str, list[str]] = {}
    for kind, path in left_out:
        kinds.setdefault(kind, []).append(path)
    lines = []
    for kind, paths in sorted(kinds.items()):
        line = f"left out: {counted(len(paths), kind, _MANY.get(kind))}"
        if all_of_them:
            lines += [line, *(f"  {path}" for path in paths)]
        else:
            lines.append(f"{line}, e.g. {paths[0]}" if len(paths) > 1 else f"{line}: {paths[0]}")
    return lines
