"""SimCLR: an embedding learned from images alone (Chen et al. 2020), for TypiClust and ProbCover.

Two random views of an image should be each other's nearest neighbours among all views of a batch.
It is trained once for a data set, not once a run: see `labelgap.frozen.embedding`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from labelgap.axes.stage import Optimiser
from labelgap.core.streams import Streams
from labelgap.core.types import Ids
from labelgap.data.augment import normalise
from labelgap.data.types import Split, Task
from labelgap.learn.inputs import Endless
from labelgap.learn.learner import Learner
from labelgap.learn.stage import learning_rate
from labelgap.networks.network import Network
from labelgap.networks.resnet import ResNet


@dataclass(frozen=True)
class Recipe:
    """Sizes of one SimCLR training.

    Attributes
    ----------
    steps: None means `epochs` passes over the images.
    lr: of SGD with momentum 0.9, weight decay 1e-4 and a cosine to 0.
    temperature: of the softmax over cosines.
    """

    width: int
    blocks: tuple[int, ...]
    batch: int
    lr: float
    steps: int | None = None
    epochs: int = 500
    temperature: float = 0.1
    projection: int = 128

    def steps_for(self, images: int) -> int:
        """Steps of the whole training."""
        return self.steps or max(1, math.ceil(self.epochs * images / self.batch))


RECIPES = {
    # What TypiClust and ProbCover were published with: SCAN's SimCLR.
    "paper": Recipe(64, (2, 2, 2, 2), batch=512, lr=0.4),
    # As many images as ten rounds of Random see under this preset; the rate falls with the batch.
    "cpu": Recipe(16, (1, 1, 1, 1), batch=256, lr=0.2, steps=500),
    "smoke": Recipe(16, (1, 1, 1), batch=128, lr=0.1, steps=150),
}


def two_views_loss(z: Float[Tensor, "b p"], temperature: float) -> Float[Tensor, ""]:
    """NT-Xent of a batch whose second half are the partners of its first (Chen et al. 2020, Eq. 1).

    Cross-entropy of finding each view's partner among all other views by cosine.
    """
    z = F.normalize(z.float(), dim=1)
    cosines = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    half = len(z) // 2
    partner = torch.arange(len(z), device=z.device).roll(half)
    return F.cross_entropy(cosines, partner)


def view_of(
    images: UInt8[Tensor, "b h w c"], flip: bool, rng: np.random.Generator
) -> Float[Tensor, "b c h w"]:
    """One random view in [0, 1]: resized crop, flip where it keeps the class, colour, grey.

    Crops of 20–100 % of the area with sides of 3:4 to 4:3; brightness, contrast and saturation
    by up to 40 % in four views of five; one colour view in five turned grey.
    """
    x = images.permute(0, 3, 1, 2).float() / 255
    b, c = len(x), x.shape[1]

    def draw(low: float, high: float) -> Tensor:
        values = rng.uniform(low, high, size=b).astype(np.float32)
        return torch.from_numpy(values).to(x.device)

    area, ratio = draw(0.2, 1.0), draw(math.log(3 / 4), math.log(4 / 3)).exp()
    height, width = ((area * r).sqrt().clamp_max(1.0) for r in (1 / ratio, ratio))
    place = torch.zeros(b, 2, 3, device=x.device)
    mirrored = torch.where(draw(0.0, 1.0) < (0.5 if flip else 0.0), -1.0, 1.0)
    place[:, 0, 0], place[:, 1, 1] = width * mirrored, height
    place[:, 0, 2], place[:, 1, 2] = draw(-1.0, 1.0) * (1 - width), draw(-1.0, 1.0) * (1 - height)
    grid = F.affine_grid(place, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    jittered = (draw(0.0, 1.0) < 0.8).float()

    def factor() -> Tensor:
        return (1 + jittered * draw(-0.4, 0.4)).view(b, 1, 1, 1)

    x = x * factor()
    x = torch.lerp(x.mean(dim=(1, 2, 3), keepdim=True), x, factor())
    if c > 1:
        grey = x.mean(dim=1, keepdim=True)
        x = torch.lerp(grey, x, factor() * (draw(0.0, 1.0) >= 0.2).float().view(b, 1, 1, 1))
    return x.clamp(0, 1)


def new_encoder(task: Task, recipe: Recipe) -> Network:
    """An encoder of the task's images in the weights that the current stream draws."""
    return ResNet(task.input_shape[2], task.num_classes, width=recipe.width, blocks=recipe.blocks)


def train(learner: Learner, ids: Ids, recipe: Recipe, advance: Callable[[int], None]) -> Network:
    """An encoder trained on the images of `ids`; its features are the embedding.

    Its draws come from streams of seed 0, whatever the run's: one embedding serves all seeds.

    Parameters
    ----------
    advance: told of each step that is done.
    """
    task, machine, streams = learner.task, learner.machine, Streams(0)
    with streams.scope("simclr/weights"):
        encoder = new_encoder(task, recipe)
        d = encoder.feature_dim
        projector = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, recipe.projection))
    encoder, projector = machine.place(encoder), machine.place(projector)
    parameters = [p for n, p in encoder.named_parameters() if not n.startswith("head")]
    spec = Optimiser(lr=recipe.lr, weight_decay=1e-4, schedule="cosine", warmup=0.05)
    sgd = torch.optim.SGD(
        [*parameters, *projector.parameters()], spec.lr, momentum=0.9, weight_decay=1e-4
    )
    order, size = Endless(ids, streams, "simclr/batches", 0), min(recipe.batch, len(ids))
    steps = recipe.steps_for(len(ids))
    mean, std = (
        torch.tensor(s, device=machine.device).view(1, -1, 1, 1) for s in (task.mean, task.std)
    )
    encoder.train()
    for step in range(steps):
        rng = streams.numpy("simclr/views", 0, step)
        raw = learner.inputs.raw(task.train, order.window(step * size, size))
        views = torch.cat([view_of(raw, task.augment.flip, rng) for _ in range(2)])
        views = ((views - mean) / std).contiguous(memory_format=torch.channels_last)
        with machine.autocast():
            z = projector(encoder(views).features)
        loss = two_views_loss(z, recipe.temperature)
        for group in sgd.param_groups:
            group["lr"] = learning_rate(spec, step, steps)
        sgd.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        sgd.step()
        advance(1)
    return encoder.eval()


@torch.no_grad()
def embed(learner: Learner, encoder: Network, split: Split) -> Float[Tensor, "n d"]:
    """Features of the unaugmented images, float32, on the host."""
    rows, ids = [torch.zeros(0, encoder.feature_dim)], np.arange(len(split), dtype=np.int64)
    for start in range(0, len(ids), 512):
        raw = learner.inputs.raw(split, ids[start : start + 512])
        x = normalise(raw, learner.task.mean, learner.task.std)
        rows.append(encoder(x).features.float().cpu())
    return torch.cat(rows)
