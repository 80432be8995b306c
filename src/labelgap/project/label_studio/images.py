"""How Label Studio gets to see an image: within the task, from a folder of its own, by a link."""

import base64
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from labelgap.core.errors import ConfigError, DataError
from labelgap.project.exchange.shown import original, packed
from labelgap.project.images.items import Item
from labelgap.project.keep.store import Project
from labelgap.project.label_studio.client import Client
from labelgap.project.label_studio.link import Link

Address = Callable[[Item], str]
LONGEST = 800
"""Pixels. About 60 kB a photograph: enough to tell classes apart, and every listing and export
of Label Studio repeats it."""


def embedded(project: Project) -> Address:
    """The image itself, encoded anew: nothing to set up, no file of the folder is shared."""

    def address(item: Item) -> str:
        # What was packed is the same image, only smaller.
        image = original(project, item, LONGEST) or packed(project, item)
        sink = BytesIO()
        if max(image.size) <= 128:
            image.save(sink, "PNG")
            return _data("image/png", sink)
        image.save(sink, "JPEG", quality=85)
        return _data("image/jpeg", sink)

    return address


def local_files(project: Project, client: Client, link: Link, document_root: Path) -> Address:
    """Label Studio reads the folder itself, through a local storage of its project.

    document_root: its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT; the folder must be below it. The
    storage is made where missing and never synchronised, which would add a task for every file.

    Raises `ConfigError` for a folder that is not below.
    """
    root = document_root.expanduser().resolve()
    if not project.root.is_relative_to(root) or project.root == root:
        raise ConfigError(
            f"{project.root} is not below the document root {root}.",
            "Start Label Studio with LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT at a folder above it.",
        )
    path = str(project.root)
    known = client.get("/api/storages/localfiles/", project=link.project)
    if all(storage.get("path") != path for storage in known):
        client.post(
            "/api/storages/localfiles/",
            {"project": link.project, "path": path, "title": "labelgap", "use_blob_urls": True},
        )
    below = project.root.relative_to(root)

    def address(item: Item) -> str:
        return f"/data/local-files/?d={quote((below / _file(project, item)).as_posix())}"

    return address


def prefixed(project: Project, prefix: str) -> Address:
    """`prefix` and the path in the folder: where a web server or a mount has the images."""

    def address(item: Item) -> str:
        return prefix + quote(_file(project, item))

    return address


def _file(project: Project, item: Item) -> str:
    # The last path of an item that is not present can have other contents now.
    if not (item.present and (project.root / item.path).is_file()):
        raise DataError(
            f"{item.path} is no file of its own, is gone, or has other contents now.",
            "Push with the image inside the task: --images embed.",
        )
    return item.path


def _data(kind: str, sink: BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(sink.getvalue()).decode()}"
