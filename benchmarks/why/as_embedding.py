"""DAAL's query (AS) on the backbone's own features."""

from labelgap.axes.registry import acquisition, method
from labelgap.methods.daal.acquisition import DaalAcquisition


class Renamed:
    """A view whose outputs go by other names."""

    def __init__(self, view, names):
        self._view, self._names = view, names

    def __getattr__(self, name):
        return getattr(self._view, name)

    def candidates(self, name):
        return self._view.candidates(self._names.get(name, name))

    def labelled(self, name):
        return self._view.labelled(self._names.get(name, name))


@acquisition("as-embedding")
class OnEmbedding(DaalAcquisition):
    """AS with mixtures, critic and k-means on the embedding; pseudo-labels are the classifier's."""

    needs = frozenset({"embedding", "logits"})
    uses = frozenset()

    def select(self, view, n):
        return super().select(Renamed(view, {"features": "embedding"}), n)


method(
    "as-embedding",
    "cross-entropy",
    "as-embedding",
    title="AS on the embedding",
    citation="of benchmarks/why/frozen.toml",
)
