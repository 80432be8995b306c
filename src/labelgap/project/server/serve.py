"""Start the page's server: a free port, a fresh token, one line with the link."""

import getpass
import json
import secrets
import socket
import webbrowser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn

from labelgap.core import interrupts
from labelgap.core.errors import ConfigError
from labelgap.core.files import write_text
from labelgap.core.loopback import is_loopback
from labelgap.core.wording import counted
from labelgap.project.keep.store import Project
from labelgap.project.server.app import make_app
from labelgap.project.server.desk import Desk
from labelgap.project.server.reviews import Reviews

KEPT = "server.json"
WILDCARDS = ("0.0.0.0", "::")


def serve(
    project: Project,
    host: str,
    port: int,
    person: str,
    browser: bool,
    console: Any,
    *,
    ahead: bool = False,
) -> None:
    """Serve until Ctrl-C. Every answer that was acknowledged is on the disk by then.

    ahead: ask for the next images while some are left to label, so that nobody waits.

    Raises `ConfigError` for an address that cannot be listened on.
    """
    kept = remembered(project.home)
    listener = listen(host, port or kept.get("port", 0), any_port=not port)
    port = int(listener.getsockname()[1])
    token, id = str(kept["token"]), str(kept["id"])
    remember(project.home, {**kept, "port": port})
    desk = Desk(project, id, ahead=ahead)
    reviews = Reviews(project)
    app = make_app(desk, token, allowed_hosts(host, port), port, reviews)
    anywhere = host in WILDCARDS
    named = _bracketed(own_address() if anywhere else host)
    fragment = f"token={token}{_who(person, host)}"
    link = f"http://{named}:{port}/#{fragment}"
    if not is_loopback(host):
        where = "all addresses of this machine" if anywhere else host
        console.print(
            f"[bold yellow]warning:[/] other machines can reach this page on {where}; the link is "
            "the only key, and it travels unencrypted. Use a trusted network, or an SSH tunnel."
        )
    waiting = len(project.waiting())
    nothing = "the first images are chosen" if ahead else "nothing to label yet; ask for images"
    what = f"{counted(waiting, 'image')} to label" if waiting else nothing
    console.print(f"{what} at [bold]{link}[/]  (Ctrl-C ends)")
    if browser:
        webbrowser.open(link)
    try:
        with interrupts.at_leisure():
            quiet_server(app).run(sockets=[listener])
    finally:
        desk.asking.stop()
        reviews.reviewing.stop()


def _who(person: str, host: str) -> str:
    """What the link says of who answers. On this machine alone that is whoever is logged in; from
    other machines it may be anybody, and each browser is a person until it says otherwise."""
    if person:
        return f"&person={quote(person)}"
    return f"&user={quote(login_name())}" if is_loopback(host) else ""


def login_name() -> str:
    """Of the system, "me" where it has none."""
    try:
        return getpass.getuser()[:60] or "me"
    except (ImportError, KeyError, OSError):
        return "me"


def quiet_server(app: Any) -> uvicorn.Server:
    """A server without an access log: addresses and bodies may hold a token."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            # Ctrl-C is answered within a second; what is being stored is stored by then.
            timeout_graceful_shutdown=1,
        )
    )


def remembered(home: Path) -> dict[str, Any]:
    """The project's port, token and id: a page that waits for the server finds it again."""
    file = home / KEPT
    if file.is_file():
        try:
            known: dict[str, Any] = json.loads(file.read_text())
            if len(str(known["token"])) >= 32 and known["id"]:
                return known
        except (ValueError, KeyError, TypeError):
            file.unlink()  # damaged: a new token is as good
    return {"token": secrets.token_urlsafe(32), "id": secrets.token_hex(8), "port": 0}


def remember(home: Path, facts: dict[str, Any]) -> None:
    """Keep them for the next start, readable by their owner only: the token opens the page."""
    write_text(home / KEPT, json.dumps(facts), private=True)


def listen(host: str, port: int, *, any_port: bool = False) -> socket.socket:
    """A bound socket, so that the port is known before the link is printed.

    any_port: take a free one where `port` is taken.
    """
    try:
        return _bind(host, port)
    except OSError as error:
        if any_port and port:
            return listen(host, 0)
        raise ConfigError(
            f"Cannot listen on {host}, port {port}: {error.strerror or error}.",
            "Choose another --port or --host.",
        ) from error


def _bind(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # From here on whoever opens the link waits instead of being refused.
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def allowed_hosts(host: str, port: int) -> list[str]:
    """What the Host header may be: the names of the loopback address, and the one given.

    On a wildcard address (0.0.0.0) also this machine's own name and address.
    """
    names = ["localhost", "127.0.0.1", "[::1]", _bracketed(host)]
    if host in WILDCARDS:
        names += [socket.gethostname(), socket.getfqdn(), _bracketed(own_address())]
    return [f"{name}:{port}" for name in dict.fromkeys(names)]


def own_address() -> str:
    """The address by which other machines find this one, else its name. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # An address for documentation: it only makes the system choose its way out.
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
