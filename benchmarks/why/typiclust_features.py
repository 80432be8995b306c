"""TypiClust's rule on what the trained network makes of the backbone's features."""

from labelgap.axes.registry import acquisition, method
from labelgap.methods.typiclust import TypiClust


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


@acquisition("typiclust-features")
class OnFeatures(TypiClust):
    """TypiClust, the network's features in place of the embedding."""

    needs = frozenset({"features", "logits"})

    def select(self, view, n):
        return super().select(Renamed(view, {"embedding": "features"}), n)


method(
    "typiclust-features",
    "cross-entropy",
    "typiclust-features",
    title="TypiClust on features",
    citation="of benchmarks/why/frozen.toml",
)
