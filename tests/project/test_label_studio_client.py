"""The HTTP client: both kinds of token, slashes, errors that say what to do."""

import socket
import threading

import pytest
from label_studio_stub import LEGACY, LIFE, PERSONAL, Stub

from labelgap.core.errors import ConfigError
from labelgap.project.label_studio.client import Client, LabelStudioError, is_loopback, plain_url


@pytest.fixture
def stub():
    made = Stub()
    yield made
    made.close()


def client_of(stub, token=LEGACY, url=None):
    made = Client(url or stub.url, token, timeout=60.0)
    made._clock = lambda: stub.now
    made.waits = []
    made._sleep = made.waits.append
    return made


def new_project(client):
    config = '<View><Image name="i" value="$image"/><Choices name="c" toName="i"/></View>'
    return client.post("/api/projects/", {"title": "some", "label_config": config})["id"]


def test_a_legacy_token_goes_as_it_is(stub):
    client = client_of(stub)
    assert client.get("/api/users/")[0]["email"] == "anna@example.org"
    assert stub.refreshes == 0


def test_a_personal_token_buys_access_tokens_in_time(stub):
    stub.legacy = False
    client = client_of(stub, PERSONAL)
    for _ in range(3):
        client.get("/api/users/")
    assert stub.refreshes == 1
    stub.now += LIFE - 31
    client.get("/api/users/")
    assert stub.refreshes == 1
    stub.now += 2  # within the margin: renewed before it is refused
    refused = len(stub.requests)
    client.get("/api/users/")
    assert stub.refreshes == 2
    assert stub.requests[refused:] == [("POST", "/api/token/refresh/"), ("GET", "/api/users/")]


def test_an_access_token_that_ended_early_is_renewed_and_a_write_is_done_once(stub):
    client = client_of(stub, PERSONAL)
    client.get("/api/users/")
    stub.access.clear()  # the server was restarted with another key, or its clock was put forward
    new_project(client)
    assert len(stub.projects) == 1
    assert stub.refreshes == 2


def test_both_kinds_of_token_that_are_not_accepted(stub):
    with pytest.raises(LabelStudioError, match="Check the token") as caught:
        client_of(stub, "f" * 40).get("/api/users/")
    assert caught.value.status == 401
    stub.legacy = False
    with pytest.raises(LabelStudioError, match="personal access token") as caught:
        client_of(stub).get("/api/users/")
    assert "--enable-legacy-api-token" in caught.value.cure
    with pytest.raises(LabelStudioError, match="does not accept the personal access token"):
        client_of(stub, PERSONAL + "x").get("/api/users/")


def test_the_token_is_in_no_error(stub):
    secrets = (LEGACY, PERSONAL, PERSONAL + "x", "f" * 40)
    stub.legacy = False
    for token in secrets:
        stub.failures = [("GET", "/api/users/", 400)]
        with pytest.raises(LabelStudioError) as caught:
            client_of(stub, token).get("/api/users/")
        shown = str(caught.value) + repr(caught.value.__cause__) + repr(client_of(stub, token))
        assert token not in shown
        assert not any(access in shown for access in stub.access)
    with pytest.raises(ConfigError) as refused:
        Client(stub.url, "secret\nX-Header: 1")
    assert "secret" not in str(refused.value)


def test_a_redirected_write_is_an_error_and_not_a_list(stub):
    client = client_of(stub)
    with pytest.raises(LabelStudioError, match="sends POST /api/projects on to /api/projects/"):
        client.post("/api/projects", {"title": "lost"})
    assert stub.projects == {}
    assert stub.requests == [("POST", "/api/projects")]


def test_reading_is_tried_again_and_writing_is_not(stub):
    client = client_of(stub)
    stub.failures = [("GET", "/api/users/", 503), ("GET", "/api/users/", 502)]
    assert len(client.get("/api/users/")) == 2
    assert client.waits == [1.0, 2.0]
    stub.failures = [("GET", "/api/users/", 504)] * 3
    with pytest.raises(LabelStudioError, match="504"):
        client.get("/api/users/")
    stub.failures = [("GET", "/api/users/", 403)]
    before = len(stub.requests)
    with pytest.raises(LabelStudioError, match="403"):
        client.get("/api/users/")
    assert len(stub.requests) == before + 1
    stub.failures = [("POST", "/api/projects/", 503)]
    before = len(stub.requests)
    with pytest.raises(LabelStudioError, match="repeating this command is safe"):
        client.post("/api/projects/", {"title": "some", "label_config": "<View/>"})
    assert len(stub.requests) == before + 1


def test_what_the_server_says_is_told(stub):
    with pytest.raises(LabelStudioError, match="Ensure 3 to 50 characters") as caught:
        client_of(stub).post("/api/projects/", {"title": "x", "label_config": "<View/>"})
    assert caught.value.status == 400


def test_nobody_answers():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}", LEGACY)
    client._sleep = lambda seconds: None
    with pytest.raises(LabelStudioError, match="No Label Studio answers") as caught:
        client.get("/api/users/")
    assert "LABEL_STUDIO_URL" in caught.value.cure
    assert caught.value.status == 0


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n<html>hi</html>", "else than JSON"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n[1, 2", "No Label Studio answers"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "No Label Studio answers"),
        (b"", "No Label Studio answers"),
    ],
)
def test_another_server_answers(reply, expected):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve():
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line:
                    line.recv(4096)
                    line.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", LEGACY, timeout=60.0)
        client._sleep = lambda seconds: None
        with pytest.raises(LabelStudioError, match=expected):
            client.get("/api/users/")
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(60.0)


def test_no_proxy_gets_what_is_for_this_machine(stub, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert client_of(stub).get("/api/users/")


def test_all_pages_are_read(stub):
    client = client_of(stub)
    number = new_project(client)
    for count in (0, 1, 100, 149):  # 0, 1, 101, 250 tasks in all
        if count:
            tasks = [{"data": {"image": "x"}} for _ in range(count)]
            client.post(f"/api/projects/{number}/import", tasks)
        assert [t["id"] for t in client.tasks(number)] == sorted(stub.tasks)


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8080", "ftp://a.b", "http://", "http://a b", "http://a/?q=1", "http://a:99999",
     "http://u:p@a", "file:///etc/passwd"],
)  # fmt: skip
def test_addresses_that_are_none(url):
    with pytest.raises(ConfigError):
        Client(url, LEGACY)


def test_addresses_and_tokens_are_trimmed(stub):
    assert plain_url(" https://a.org/ls/ ") == "https://a.org/ls"
    assert client_of(stub, f"{LEGACY}\n", stub.url + "/").get("/api/users/")
    for token in ("", "  ", "two words", "tök", "a\x00b"):
        with pytest.raises(ConfigError):
            Client(stub.url, token)


def test_loopback():
    assert all(is_loopback(u) for u in ("http://127.0.0.1:1", "http://localhost", "http://[::1]:2"))
    assert not any(is_loopback(u) for u in ("http://10.0.0.1", "https://localhost.example.org"))
