"""Ray, joined where it runs or started where nobody else reaches it."""

import os
import socket
from typing import Any
from urllib.parse import urlsplit

from labelgap.core.errors import ConfigError
from labelgap.core.installing import extra

_SECONDS = 5.0
"""For an address to answer: Ray itself tries for minutes."""


def start_ray(address: str | None, cpus: int | None = None) -> Any:
    """The ray package, connected; the caller shuts it down.

    Parameters
    ----------
    address: of a cluster ("auto", "ray://HOST:PORT", "HOST:PORT"); None starts one on this
        machine, reachable from nowhere else.
    cpus: of the one that is started; None: all.

    Raises
    ------
    ConfigError: Ray is not installed, or nothing answers at the address.
    """
    if address is None:
        # Ray listens on the machine's own address, even when it is told 127.0.0.1, except
        # where it does without clusters, as on desktops. It reads this when it is imported.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "--engine ray needs Ray, which is not installed.", f"{extra('ray')} brings it."
        ) from error
    if address is None:
        ray.init(
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )
        return ray
    _must_answer(address)
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _silent(address, str(error).splitlines()[0]) from error
    return ray


def _must_answer(address: str) -> None:
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _silent(address, str(error)) from error
    if host is None or port is None:  # "auto" and the like: Ray looks for it
        return
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        raise _silent(address, error.strerror or str(error)) from error


def _silent(address: str, why: str) -> ConfigError:
    return ConfigError(
        f"No Ray cluster answers at {address} ({why}).",
        "Start one (`ray start --head`) and give its address, or leave the address out.",
    )
