"""`labelgap score`: a pool of many shards to the items to label next."""

from pathlib import Path

import typer

from labelgap.cli import app
from labelgap.core.terminal import console as _console
from labelgap.core.wording import counted, plain


@app.command()
def score(
    shards: Path = typer.Argument(
        help="A text file with a shard a line, or a folder of shards: .npy (features), .parquet, "
        ".tar (WebDataset), or folders of images."
    ),
    labelled: Path = typer.Option(
        ..., "--labelled", help="An .npz with `features` [n, d] and `labels` of what is labelled."
    ),
    out: Path = typer.Option(..., "--out", help="The folder of results; shared by all workers."),
    n: int = typer.Option(100, "-n", min=1, help="How many items to choose."),
    top: int = typer.Option(100_000, min=1, help="The best of the pool, of which n are chosen."),
    network: str | None = typer.Option(
        None, help="For shards of images: timm:NAME, the network that made the labelled features."
    ),
    weights: str | None = typer.Option(None, help="A file with its weights, or hub."),
    em_steps: int = typer.Option(10, min=0, help="Steps of EM; each is a pass over the features."),
    engine: str = typer.Option("local", help="local (processes) | ray (needs Ray; experimental)."),
    address: str | None = typer.Option(
        None, help="Of a Ray cluster; without it Ray is started on this machine's loopback."
    ),
    workers: int = typer.Option(1, min=1, help="How many compute at the same time."),
    threads: int = typer.Option(1, min=1, help="Threads of each worker."),
    device: str = typer.Option("auto", help="auto | cpu | cuda | mps: for images."),
    seed: int = typer.Option(0, help="Of the last draw, k-means."),
) -> None:
    """Which items of a very large pool to label next, scored shard by shard.

    A killed or repeated run goes on where it was; any number of them may share --out.
    """
    from labelgap.core.config import NetworkSettings
    from labelgap.methods.daal.settings import MixtureSettings
    from labelgap.score.engines import engine_by
    from labelgap.score.pool import closing, score_pool
    from labelgap.score.scorer import scorer_of
    from labelgap.score.shards import find_shards

    console = _console()
    settings = MixtureSettings(em_steps=em_steps)
    found = find_shards(shards)
    scorer = scorer_of(labelled, settings)
    embedding = None
    if network is not None:
        from labelgap.score.embed import embed_with

        chosen = NetworkSettings(name=network, weights=weights, freeze=True)
        embedding = embed_with(chosen, device)
    with (
        closing(engine_by(engine, workers, threads, address)) as run,
        console.status("") as status,
    ):
        result = score_pool(
            found,
            scorer,
            out,
            n,
            top=top,
            settings=settings,
            embedding=embedding,
            engine=run,
            seed=seed,
            progress=lambda stage, done, of: status.update(f"{stage}: {done} of {of} shards"),
        )
    said = f"{counted(result.scored, 'item')} scored in {counted(len(found), 'shard')}"
    if result.left_out:
        said += f"; {result.left_out} left out, not finite or not readable"
        if result.left_out_ids:
            said += f" ({result.left_out_ids[0]}{', …' if result.left_out > 1 else ''})"
    console.print(plain(said))
    console.print(plain(f"{counted(n, 'item')} to label: {out / 'chosen.json'}"))
