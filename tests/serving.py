"""A server of OpenAI's protocol for tests, over real HTTP, that does as it is told: errors, silence, broken lines."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Status, body and headers; None: the connection breaks.
Answer = Callable[[dict[str, Any]], tuple[int, bytes, dict[str, str]] | None]


def completion(asked: dict[str, Any], text: str) -> tuple[int, bytes, dict[str, str]]:
    """What a server of the protocol answers."""
    prompt_tokens = sum(len(message["content"].split()) for message in asked["messages"])
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(text.split()), "total_tokens": 0}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return 200, json.dumps(body).encode(), {}


def reader(asked: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
    """A root that asks of eight parts, and a reader that counts."""
    if asked["messages"][0]["content"].startswith("You answer"):
        return completion(asked, "```python\nanswer(sum(map(int, ask_all('how many?', context.split(8)))))\n```")
    return completion(asked, str(asked["messages"][-1]["content"].count("x\n")))


class Server(ThreadingHTTPServer):
    """Answers chats as `answers` has it, the list of models with one entry, and other pages with 404."""

    daemon_threads = True

    def __init__(
        self, answer: Answer, entry: dict[str, Any] | None = None, pages: dict[str, Any] | None = None
    ) -> None:
        self.answer, self.heard = answer, []
        self.listed = {"id": "m", "object": "model", "created": 0, "owned_by": "us"} | (entry or {})
        self.pages = pages or {}
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # one packet an answer
    server: Server

    def give(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self.give(200, json.dumps({"object": "list", "data": [self.server.listed]}).encode(), {})
        elif self.path in self.server.pages:
            self.give(200, json.dumps(self.server.pages[self.path]).encode(), {})
        else:
            self.give(404, b"{}", {})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path in self.server.pages:
            self.give(200, json.dumps(self.server.pages[self.path]).encode(), {})
        elif self.path != "/v1/chat/completions":
            self.give(404, b"{}", {})
        else:
            self.server.heard.append(asked)
            told = self.server.answer(asked)
            if told is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                self.give(*told)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def serving() -> Iterator[Callable[..., Server]]:
    """Starts such servers, and ends them at last."""
    started: list[Server] = []

    def start(*arguments: Any, **named: Any) -> Server:
        started.append(Server(*arguments, **named))
        threading.Thread(target=started[-1].serve_forever, args=(0.05,), daemon=True).start()
        return started[-1]

    yield start
    for server in started:
        server.shutdown()
        server.server_close()
