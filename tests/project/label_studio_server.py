"""A real Label Studio for the marked tests: started with an empty embedded database, and stopped.

It may call backends on its own machine, reads images below one folder, takes both kinds of token.
"""

import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from urllib.request import urlopen

START = 1800.0  # seconds; a minute on an idle machine
FOREIGN = ("LABEL_STUDIO_", "DJANGO_", "POSTGRE_", "REDIS_")
SETTINGS = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "SSRF_PROTECTION_ENABLED": "false",  # else it refuses a backend on its own machine
    "ML_BLOCK_LOCAL_IP": "false",
    "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
}


@contextmanager
def label_studio(command, data, files):
    """Yields (address, legacy token). `data`: an empty folder; `files`: its document root."""
    port, token = free_port(), secrets.token_hex(20)
    # Somebody's own settings may name another database, or their data folder.
    env = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)} | SETTINGS
    env["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"] = str(files)
    env["LABEL_STUDIO_BASE_DATA_DIR"] = str(data)
    program, *words = shlex.split(command)
    words += ["start", "--no-browser", "--data-dir", str(data), "--internal-host", "127.0.0.1",
              "--port", str(port), "--username", "a@example.org", "--password",
              secrets.token_hex(8), "--user-token", token, "--enable-legacy-api-token"]  # fmt: skip
    log = data.parent / f"{data.name}.log"
    with open(log, "w") as sink:
        process = subprocess.Popen(
            [os.path.expanduser(program), *words],
            env=env, stdout=sink, stderr=sink, cwd=data, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: is_up(url) or process.poll() is not None, START)
        assert process.poll() is None, log.read_text()[-2000:]
        yield url, token
    finally:
        stop(process)
    assert not is_up(url), f"{url} still answers"


def stop(process):
    """End a process and all that it started, which it leads in a session of its own."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except ProcessLookupError:
        process.wait()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def is_up(url):
    try:
        with urlopen(f"{url}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


# ------------------------------------------------------------------------------ the commands


def command_of(folder, *words):
    return [sys.executable, "-m", "labelgap", *map(str, words), "--project", str(folder)]


def environment(server, token=None):
    """A terminal that is wide enough, in which the server's address and token are set."""
    more = {"LABEL_STUDIO_URL": server.url, "COLUMNS": "400", "NO_COLOR": "1"}
    return {**os.environ, **more, "LABEL_STUDIO_API_KEY": server.token if token is None else token}


def labelgap(server, folder, *words, token=None, code=0):
    """Run one command to its end; what it said, in one line."""
    done = subprocess.run(
        command_of(folder, *words), env=environment(server, token), timeout=600,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return " ".join(done.stdout.split())


class Running:
    """A command that goes on until it is ended; `said` grows meanwhile."""

    def __init__(self, server, folder, *words, token=None):
        self.process = subprocess.Popen(
            command_of(folder, *words), env=environment(server, token),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.said = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.said.append(line.strip())

    def tells(self, text, times=1):
        until(
            lambda: sum(text in line for line in self.said) >= times or self.process.poll(),
        )
        assert sum(text in line for line in self.said) >= times, "\n".join(self.said)

    def end(self, how=signal.SIGINT):
        """Ends it, and returns its exit code."""
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
        try:
            code = self.process.wait(60)
        finally:
            stop(self.process)
        self.reader.join(10)
        self.process.stdout.close()
        return code
