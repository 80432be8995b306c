"""Label Studio: push the asked batch, pull the answers, both, or a backend for predictions."""

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from labelgap.cli import app
from labelgap.cli.telling import answered_meanwhile
from labelgap.cli.values import PROJECT
from labelgap.core import interrupts
from labelgap.core.terminal import console as _console
from labelgap.core.wording import plain as _plain

if TYPE_CHECKING:
    from labelgap.project.keep.store import Project
    from labelgap.project.label_studio.client import Client
    from labelgap.project.label_studio.link import Link
    from labelgap.project.label_studio.pull import Pulled

commands = typer.Typer(no_args_is_help=True, help="Let people answer in Label Studio.")
app.add_typer(commands, name="label-studio")

DEFAULT_URL = "http://127.0.0.1:8080"
URL = typer.Option(
    None,
    envvar="LABEL_STUDIO_URL",
    help=f"Label Studio's address. [default: the last one, else {DEFAULT_URL}]",
)
# Not by value: the arguments of a program can be read by everybody on the machine.
TOKEN = typer.Option(
    None, "--token-file", help="A file with the token. [default: the variable LABEL_STUDIO_API_KEY]"
)
NUMBER = typer.Option(None, min=1, help="Its project's number. [default: the linked one]")
IMAGES = typer.Option(
    "embed", help="embed (in the task) | local-files | a link's beginning, such as https://…/"
)
ROOT = typer.Option(
    None, "--document-root", help="local-files: LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT there."
)
_SHOWN = 20


def _client(p: "Project", url: str | None, token_file: Path | None) -> "Client":
    from labelgap.core.errors import ConfigError
    from labelgap.project.label_studio.client import Client, is_loopback
    from labelgap.project.label_studio.link import remembered_url

    if token_file is None:
        token = os.environ.get("LABEL_STUDIO_API_KEY", "")
    else:
        try:
            token = token_file.expanduser().read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The token file {token_file} cannot be read: {error}.") from error
    client = Client(url or remembered_url(p) or DEFAULT_URL, token)
    if client.url.startswith("http:") and not is_loopback(client.url):
        _console().print(
            f"[bold yellow]warning:[/] token and images travel unencrypted to {_plain(client.url)}"
        )
    return client


@commands.command()
def push(
    url: str | None = URL,
    token_file: Path | None = TOKEN,
    number: int | None = NUMBER,
    new: bool = typer.Option(False, "--new", help="Make another project there."),
    images: str = IMAGES,
    document_root: Path | None = ROOT,
    project: Path | None = PROJECT,
) -> None:
    """Show the asked images in Label Studio, in order; repeating it makes no task twice."""
    from labelgap.project.keep.store import Project

    with Project.open(project) as p:
        _push(p, _client(p, url, token_file), number, new, images, document_root)


def _push(
    p: "Project",
    client: "Client",
    number: int | None,
    new: bool,
    images: str,
    document_root: Path | None,
) -> "Link":
    from labelgap.core.errors import ConfigError
    from labelgap.project.label_studio.images import embedded, local_files, prefixed
    from labelgap.project.label_studio.link import link
    from labelgap.project.label_studio.push import VIEW
    from labelgap.project.label_studio.push import push as push_batch

    if images not in ("embed", "local-files") and "/" not in images:
        raise ConfigError(
            f"--images {images!r} is none of embed, local-files and a link.",
            "A link's beginning is like https://example.org/images/.",
        )
    if (images == "local-files") != (document_root is not None):
        raise ConfigError("--images local-files and --document-root come together.")
    linked = link(p, client, number, new)
    if images == "embed":
        address = embedded(p)
    elif document_root is not None:
        address = local_files(p, client, linked, document_root)
    else:
        address = prefixed(p, images)
    console = _console()
    told: list[float] = []

    def wait(seconds: float) -> None:
        if not told:
            console.print("the last push broke off: waiting for what it sent to arrive")
        told.append(seconds)
        time.sleep(seconds)

    done = push_batch(p, client, linked, address, wait)
    console.print(
        f"[bold]{done.new}[/] tasks made, {done.known} there already → {_plain(linked.page)}"
    )
    if not done.new + done.known:
        console.print("nothing is waiting to be labelled: labelgap ask 50")
    else:
        console.print(f"open the tab “{VIEW}”, then Label Tasks As Displayed")
    if done.model_version:
        console.print(f"predictions shown: {_plain(done.model_version)}")
    for item in done.twice[:_SHOWN]:
        path = _plain(p.items.get(item).path)
        console.print(f"[yellow]several tasks[/] show {path}: all their answers count")
    return linked


@commands.command()
def pull(
    url: str | None = URL,
    token_file: Path | None = TOKEN,
    number: int | None = NUMBER,
    project: Path | None = PROJECT,
) -> None:
    """Take the answers; repeating it changes nothing, and nothing is ever taken away."""
    from labelgap.project.keep.store import Project
    from labelgap.project.label_studio.link import linked
    from labelgap.project.label_studio.pull import pull as pull_answers

    with Project.open(project) as p:
        client = _client(p, url, token_file)
        _tell(pull_answers(p, client, linked(p, client, number)))


def _tell(pulled: "Pulled") -> None:
    from labelgap.project.label_studio.worker import sentence

    console = _console()
    console.print(_plain(sentence(pulled)))
    for bad in pulled.quarantined[:_SHOWN]:
        console.print(
            f"[yellow]quarantined[/] {_plain(bad.path)} (task {bad.task}, "
            f"{_plain(bad.person)}): {_plain(bad.reason)}"
        )
    if len(pulled.quarantined) > _SHOWN:
        console.print("   …")
    if pulled.conflicts:
        console.print("who disagrees: labelgap status --conflicts")


@commands.command()
def sync(
    ask: int | None = typer.Option(
        None, min=1, help="When all are answered train, and ask so many more."
    ),
    every: float | None = typer.Option(None, min=1, help="Again and again, after so many seconds."),
    url: str | None = URL,
    token_file: Path | None = TOKEN,
    number: int | None = NUMBER,
    images: str = IMAGES,
    document_root: Path | None = ROOT,
    project: Path | None = PROJECT,
) -> None:
    """Pull, then push what is still to be answered; with --ask the next round as well."""
    from labelgap.core.errors import LabelgapError

    def once() -> None:
        from labelgap.project.keep.store import Project
        from labelgap.project.label_studio.link import LINK, linked
        from labelgap.project.label_studio.pull import pull as pull_answers

        with Project.open(project) as p:
            client = _client(p, url, token_file)
            if number is not None or p.last_note(LINK) is not None:
                _tell(pull_answers(p, client, linked(p, client, number)))
            if ask is not None and not p.waiting():
                from labelgap.project.asking.work import Work

                asked = Work(p).ask(ask)
                trained = " after training" if asked.trained else ""
                _console().print(f"{asked.new} new images asked{trained}")
                if asked.answered:
                    _console().print(answered_meanwhile(asked.answered))
            _push(p, client, number, False, images, document_root)

    if every is None:
        once()
        return
    while True:
        try:
            once()
        except LabelgapError as error:
            # Another command has the project, or Label Studio is away: both pass.
            _console().print(f"[yellow]{_plain(error)}[/]")
        time.sleep(every)


@commands.command()
def backend(
    port: int = typer.Option(9090, min=1, max=65535, help="Port on this machine."),
    register: bool = typer.Option(
        True, "--register/--no-register", help="Make it known to Label Studio."
    ),
    url: str | None = URL,
    token_file: Path | None = TOKEN,
    number: int | None = NUMBER,
    project: Path | None = PROJECT,
) -> None:
    """Serve live predictions, pull each answer as it comes, train on demand; Ctrl-C ends it."""
    from labelgap.project.keep.store import Project
    from labelgap.project.label_studio import backend as served
    from labelgap.project.label_studio.link import linked
    from labelgap.project.label_studio.predictor import Predictor
    from labelgap.project.label_studio.worker import Worker
    from labelgap.project.server.serve import allowed_hosts, listen, quiet_server

    console = _console()

    def say(text: str) -> None:
        console.print(_plain(text))

    with Project.open(project) as p:
        client = _client(p, url, token_file)
        link, root = linked(p, client, number), p.root
        password = served.password_of(p.home)
    door = threading.Lock()
    worker = Worker(root, client, door, say)
    application = served.make_app(
        Predictor(root, door),
        worker,
        link,
        password,
        allowed_hosts("127.0.0.1", port),
    )
    listener = listen("127.0.0.1", port)
    server = quiet_server(application)
    here = f"http://127.0.0.1:{port}"
    say(f"backend of project {link.project} at {here} (Ctrl-C ends)")
    if not register:
        say(f"user {served.USER}, password in {root / '.labelgap' / served.SECRET}")
    worker.start()
    worker.want("pull")
    if register:
        # Label Studio asks for /health at once, so it must be answered by then.
        threading.Thread(
            target=_register, args=(server, client, link, here, password, say), daemon=True
        ).start()
    try:
        with interrupts.at_leisure():
            server.run(sockets=[listener])
    finally:
        worker.stop()


def _register(
    server: Any, client: "Client", link: "Link", here: str, password: str, say: Any
) -> None:
    from labelgap.core.errors import LabelgapError
    from labelgap.project.label_studio.backend import register

    while not server.started:
        time.sleep(0.05)
    try:
        register(client, link, here, password)
        say("Label Studio knows it: Settings, Model")
    except LabelgapError as error:
        say(
            f"{error} Not registered. Label Studio refuses addresses of its own machine unless it "
            "is started with SSRF_PROTECTION_ENABLED=false ML_BLOCK_LOCAL_IP=false."
        )
