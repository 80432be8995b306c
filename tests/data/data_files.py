"""Writers of the official formats, byte by byte: nothing here uses the readers."""

import gzip
import io
import json
import os
import struct
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.io import savemat

CIFAR10_CLASSES = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
]  # fmt: skip


def rng(seed=0):
    return np.random.default_rng(seed)


def pictures(n, h, w, c, seed=0):
    return rng(seed).integers(0, 256, size=(n, h, w, c), dtype=np.uint8)


# idx ------------------------------------------------------------------------------------------
def idx_bytes(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    return head + array.tobytes()


def write_fashion(folder, zipped=True, train=30, test=20):
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for stem, n, seed in (("train", train, 1), ("t10k", test, 2)):
        images = pictures(n, 28, 28, 1, seed)
        labels = (np.arange(n) * 7 % 10).astype(np.uint8)
        for kind, array in (("images-idx3", images[..., 0]), ("labels-idx1", labels)):
            raw = idx_bytes(array)
            name = f"{stem}-{kind}-ubyte" + (".gz" if zipped else "")
            (folder / name).write_bytes(gzip.compress(raw) if zipped else raw)
        truth[stem] = (images, labels)
    return truth


# CIFAR ----------------------------------------------------------------------------------------
def _text2(raw):  # a Python 2 `str`
    return (
        b"U" + bytes([len(raw)]) + raw
        if len(raw) < 256
        else b"T" + struct.pack("<i", len(raw)) + raw
    )


def _int2(value):
    return b"J" + struct.pack("<i", value)


def _array2(array):
    make = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + b"K\x00\x85"
        + _text2(b"b")
        + b"\x87R"
    )
    code = array.dtype.str[1:].encode()
    kind = (
        b"cnumpy\ndtype\n"
        + _text2(code)
        + b"K\x00K\x01\x87R"
        + b"(K\x03"
        + _text2(array.dtype.str[:1].encode())
        + b"NNN"
        + _int2(-1)
        + _int2(-1)
        + b"K\x00tb"
    )
    shape = b"".join(_int2(n) for n in array.shape) + b"\x86"
    return make + b"(K\x01" + shape + kind + b"\x89" + _text2(array.tobytes()) + b"tb"


def pickle2(table):
    """What Python 2's cPickle wrote at protocol 2: the form of the official batches."""
    body = b""
    for key, value in table.items():
        body += _text2(key.encode())
        if isinstance(value, np.ndarray) and value.ndim == 2:
            body += _array2(value)
        elif isinstance(value, str):
            body += _text2(value.encode())
        else:
            body += b"](" + b"".join(_int2(int(v)) for v in value) + b"e"
    return b"\x80\x02}(" + body + b"u."


def planes(images):
    """[n, 32, 32, 3] as CIFAR stores them: [n, 3072], all reds first."""
    return np.concatenate([images[..., c].reshape(len(images), -1) for c in range(3)], axis=1)


def cifar10_batches(per_batch=10):
    """{name: (images, labels)} of the six batches."""
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    return {
        name: (pictures(per_batch, 32, 32, 3, seed), rng(seed).permutation(per_batch) % 10)
        for seed, name in enumerate(names)
    }


def cifar10_python(batches):
    return {
        f"cifar-10-batches-py/{name}": pickle2(
            {"batch_label": "a batch", "labels": labels, "data": planes(images)}
        )
        for name, (images, labels) in batches.items()
    } | {"cifar-10-batches-py/readme.html": b"<html></html>"}


def cifar10_binary(batches):
    return {
        f"cifar-10-batches-bin/{name}.bin": b"".join(
            bytes([k]) + row.tobytes() for k, row in zip(labels, planes(images), strict=True)
        )
        for name, (images, labels) in batches.items()
    }


def cifar100_splits(n=120):
    return {
        name: (pictures(n, 32, 32, 3, seed), np.arange(n) * 3 % 100)
        for seed, name in enumerate(("train", "test"))
    }


def cifar100_python(splits):
    return {
        f"cifar-100-python/{name}": pickle2(
            {"fine_labels": fine, "coarse_labels": fine // 5, "data": planes(images)}
        )
        for name, (images, fine) in splits.items()
    }


def cifar100_binary(splits):
    return {
        f"cifar-100-binary/{name}.bin": b"".join(
            bytes([k // 5, k]) + row.tobytes() for k, row in zip(fine, planes(images), strict=True)
        )
        for name, (images, fine) in splits.items()
    }


def write_files(folder, files):
    for name, raw in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)


def write_tar(path, files, mode="w:gz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, raw in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))


# SVHN -----------------------------------------------------------------------------------------
def write_svhn(folder, n=40):
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for seed, name in enumerate(("train", "test")):
        images = pictures(n, 32, 32, 3, seed)
        digits = np.arange(n) * 3 % 10
        stored = np.where(digits == 0, 10, digits).astype(np.uint8)[:, None]
        savemat(
            folder / f"{name}_32x32.mat",
            {"X": images.transpose(1, 2, 3, 0), "y": stored},
            do_compression=True,
        )
        truth[name] = (images, digits)
    return truth


# Parquet and folders --------------------------------------------------------------------------
def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "png")
    return buffer.getvalue()


def write_parquet(
    path,
    encoded,
    labels,
    *,
    image="image",
    label="label",
    names=None,
    struct_column=True,
    extra=None,
):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": e, "path": None} for e in encoded] if struct_column else list(encoded)
    kind = (
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]) if struct_column else pa.binary()
    )
    columns = {image: pa.array(cells, kind), label: pa.array(list(labels), pa.int64())}
    columns |= {key: pa.array(value) for key, value in (extra or {}).items()}
    table = pa.table(columns)
    if names is not None:
        features = {image: {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
        meta = {"info": {"features": features}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(meta)})
    pq.write_table(table, path)


def write_image(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    image.save(path, **options)


def write_class_folders(root, images, classes=("ant", "bee", "cat"), suffix="png"):
    """`images` alternate between the classes; the same ones in train and in test."""
    for split in ("train", "test"):
        for i, image in enumerate(images):
            write_image(Path(root) / split / classes[i % len(classes)] / f"{i:03}.{suffix}", image)


def age(folder):
    """Set times an hour back, as files that were not written this second have."""
    for path in Path(folder).rglob("*"):
        stat = path.stat()
        os.utime(path, (stat.st_atime - 3600, stat.st_mtime - 3600))
