"""Shards of every kind are read alike; torn ones are named; a bad image is left out."""

import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from labelgap.core.config import NetworkSettings
from labelgap.core.errors import ConfigError, DataError, UnknownName
from labelgap.core.rays import start_ray
from labelgap.score.embed import Embed, embed_with
from labelgap.score.engines import engine_by
from labelgap.score.reading import feature_blocks, has_features, image_items
from labelgap.score.shards import Shard, find_shards


def pngs(n: int) -> dict[str, bytes]:
    found = {}
    for i in range(n):
        stream = BytesIO()
        pixels = np.random.default_rng(i).integers(256, size=(40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stream, "png")
        found[f"{i}.png"] = stream.getvalue()
    return found


def three_kinds(folder: Path, images: dict[str, bytes]) -> tuple[Shard, ...]:
    (folder / "images").mkdir(parents=True)
    for name, data in images.items():
        (folder / "images" / name).write_bytes(data)
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name, data in images.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))
    cells = [{"bytes": data, "path": name} for name, data in images.items()]
    pq.write_table(pa.table({"image": cells}), folder / "b.parquet")
    (folder / "list.txt").write_text("images\na.tar\nb.parquet")
    return find_shards(folder / "list.txt")


def test_images_of_all_kinds_have_the_same_features_and_a_bad_one_has_none(tmp_path: Path) -> None:
    images = pngs(5)
    images["2.png"] = images["2.png"][:60]
    network = NetworkSettings(name="timm:tf_efficientnet_lite0", freeze=True, engine="torch",
                              input_size=32)  # fmt: skip
    task = embed_with(network, "cpu")
    found = [task(shard) for shard in three_kinds(tmp_path / "pool", images)]
    for part in found:
        np.testing.assert_array_equal(part["features"], found[0]["features"])
        bad = ~np.isfinite(part["features"]).all(axis=1)
        assert bad.tolist() == [False, False, True, False, False]
        assert len(part["why"]) == 1
        assert "not a readable image" in part["why"][0]
    assert found[0]["names"].tolist() == sorted(images)
    other = Embed(network, "cpu", "0" * 64, "torch")
    assert other.digest != task.digest


def test_a_torn_archive_and_a_torn_table_are_named(tmp_path: Path) -> None:
    shards = {s.kind: s for s in three_kinds(tmp_path / "pool", pngs(4))}
    for kind in (".tar", ".parquet"):
        shard = shards[kind]
        assert len(list(image_items(shard))) == 4
        data = shard.path.read_bytes()
        shard.path.write_bytes(data[: len(data) // 2])
        with pytest.raises(DataError, match=f"{shard.name}: torn"):
            list(image_items(shard))


@pytest.mark.parametrize("fixed", [True, False])
def test_features_from_a_table_are_those_of_the_map(tmp_path: Path, fixed: bool) -> None:
    x = np.random.default_rng(0).normal(size=(70, 6)).astype(np.float32)
    kind = pa.list_(pa.float32(), 6 if fixed else -1)
    pq.write_table(pa.table({"z": pa.array(list(x), kind)}), tmp_path / "z.parquet")
    np.save(tmp_path / "z.npy", x)
    np.save(tmp_path / "half.npy", x.astype(np.float16))
    half, map_, table = find_shards(tmp_path)
    assert all(has_features(s) for s in (half, map_, table))
    for shard in (map_, table):
        np.testing.assert_array_equal(np.concatenate(list(feature_blocks(shard, 6))), x)
    (read,) = feature_blocks(half, 6)
    np.testing.assert_array_equal(read, x.astype(np.float16).astype(np.float32))
    with pytest.raises(DataError, match=r"z\.parquet: 6 features an item"):
        list(feature_blocks(table, 5))


def test_an_address_without_a_cluster_is_told() -> None:
    with pytest.raises(ConfigError, match=r"No Ray cluster answers at 127\.0\.0\.1:1 "):
        start_ray("127.0.0.1:1")
    with pytest.raises(UnknownName, match="'rai'"):
        engine_by("rai", 1, 1)
    with pytest.raises(ConfigError, match="--address is for"):
        engine_by("local", 1, 1, "auto")
