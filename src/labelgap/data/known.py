"""The built-in data sets: class names, shapes, augmentation, and where their files may be."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from labelgap.data.cifar import CIFAR10, CIFAR100, find_cifar
from labelgap.data.idx import find_idx
from labelgap.data.parquet import find_parquet
from labelgap.data.source import Source
from labelgap.data.svhn import find_svhn
from labelgap.data.types import Augment


@dataclass(frozen=True)
class Known:
    """A built-in data set.

    shape: (h, w, c) of its images.
    augment: crop of 4 pixels' border at 28 to 32 pixels, as the published protocols; flips where
        a mirror image is the same thing (not for house numbers).
    find: looks for the official files in one folder.
    folders: subfolders of a data root that the usual tools put the files in.
    places: folders of the system that are looked in without being asked.
    get: how to get the files, for messages.
    """

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    augment: Augment
    find: Callable[[Path], Source | None]
    folders: tuple[str, ...]
    get: str
    places: tuple[Path, ...] = ()


_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree
orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum
rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train
trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

KNOWN = {
    "fashion-mnist": Known(
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
         "Bag", "Ankle boot"),
        (28, 28, 1),
        Augment(pad=4, flip=True),
        find_idx,
        ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist", "raw"),
        "the four files train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
        "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz (Debian: apt install "
        "dataset-fashion-mnist)",
        (Path("/usr/share/datasets/fashion-mnist"),),  # Debian's package puts them here
    ),
    "cifar10": Known(
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        (32, 32, 3),
        Augment(pad=4, flip=True),
        partial(find_cifar, archives=CIFAR10),
        ("cifar10", "cifar-10", "CIFAR10", "plain_text"),
        "cifar-10-python.tar.gz or cifar-10-binary.tar.gz",
    ),
    "cifar100": Known(
        tuple(_CIFAR100_CLASSES.split()),
        (32, 32, 3),
        Augment(pad=4, flip=True),
        partial(find_cifar, archives=CIFAR100),
        ("cifar100", "cifar-100", "CIFAR100"),
        "cifar-100-python.tar.gz or cifar-100-binary.tar.gz",
    ),
    "svhn": Known(
        tuple("0123456789"),
        (32, 32, 3),
        Augment(pad=4, flip=False),
        find_svhn,
        ("svhn", "SVHN", "cropped_digits"),
        "train_32x32.mat and test_32x32.mat",
    ),
}  # fmt: skip


def find_known(known: Known, root: Path) -> Source | None:
    """The files of a built-in set in its own subfolder of `root`, or in `root` itself.

    Subfolders come first: in a root that holds several sets, files with names that all sets
    share (`train.parquet`) belong to the subfolder they are in. In a folder, the official files
    come before Parquet.
    """
    for folder in (*(root / name for name in known.folders), root):
        if folder.is_dir():
            for find in (known.find, find_parquet):
                if (source := find(folder)) is not None:
                    return source
    return None
