"""The embedded default: scikit-learn's 1,797 handwritten digits of 8×8 grey pixels."""

import numpy as np

from labelgap.data.images import decode
from labelgap.data.types import Augment, Split, Task

# Every fourth image of a class, in file order, is a test image: about 446 of them, which gives
# the accuracy of one run a standard error near 1 %, and no generator whose stream may change.
_TEST_EVERY = 4


def digits(image_size: int | None = None) -> Task:
    """The task `digits`; nothing is read from outside the installed packages.

    Values 0..16 are packed as round(v·255/16). The files are ordered by writer and neighbouring
    images resemble each other, so this split (every fourth image of each class, in file order, is
    a test image) is an easy one: a smoke test, not a benchmark.

    image_size: as in `labelgap.data.load`; the border of the crops grows with it.
    """
    from sklearn.datasets import load_digits  # seconds on a busy machine, so only where needed

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    if image_size is not None:
        named = ((f"digits, image {i}", image) for i, image in enumerate(images))
        images = np.stack([decode(item, 1, None, image_size) for item in named])
    labels = bunch.target.astype(np.int64)
    is_test = np.zeros(len(labels), dtype=bool)
    for k in range(10):
        is_test[np.flatnonzero(labels == k)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
    train, test = (Split(images[m], labels[m]) for m in (~is_test, is_test))
    return Task.of(
        "digits",
        tuple("0123456789"),
        train,
        test,
        Augment(pad=max(1, images.shape[1] // 8), flip=False),
    )
