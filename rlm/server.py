"""A model behind a server that speaks OpenAI's protocol: vLLM, llama.cpp, Ollama, `transformers serve`, a hosted one.

The `openai` package makes the requests, each once: what may succeed the second time (a lost connection, 408, 409, 429,
5xx) is told of, and repeated where the budget is kept.

`transformers serve DIR` (of 5.23) calls its model DIR, but lists what its cache has, or answers 500 without one; it
tells no window, and reads past it. It honours max_tokens, skips special tokens, and streams only where asked to.
"""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import httpx
import openai
from openai.types import Model

from rlm.lm import Messages, ModelError, Price, Reply, count_bytes

BYTES_A_TOKEN = 3  # about; of English it is four or more, of Chinese three
TEMPLATE_TOKENS, MESSAGE_TOKENS = 256, 64  # that a chat template may put around: generously
REPEATED = (408, 409, 429)  # and all from 500 on
LONGEST_AFTER = 120.0  # seconds that a server may ask to wait before the next request, as the `openai` package has it
EXAMPLE = "http://localhost:8000/v1"
# What servers call the window in their list of models: vLLM, OpenRouter, LM Studio.
WINDOW_FIELDS = ("max_model_len", "context_length", "max_context_length")


class Server:
    """The model of that name at `base_url`; `num_retries` may follow a request of at most `timeout` seconds."""

    def __init__(
        self,
        model: str,
        window: int,
        base_url: str,
        api_key: str = "none",
        price: Price | None = None,
        timeout: float = 600.0,
        num_retries: int = 4,
    ) -> None:
        self.name, self.window, self.price = model, window, price or Price()
        self.num_retries = num_retries
        self._settings: dict[str, Any] = {
            "base_url": base_url, "api_key": api_key, "timeout": timeout, "max_retries": 0,
        }  # fmt: skip
        # A client keeps connections, which belong to the loop that made them.
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, openai.AsyncOpenAI] = WeakKeyDictionary()

    def num_tokens(self, messages: Messages) -> int:
        """About: the tokenizer is the server's."""
        return count_bytes(messages) // BYTES_A_TOKEN

    def most_tokens(self, messages: Messages) -> int:
        """A byte a token and what a template puts around them, and no more than the window."""
        return min(self.window, count_bytes(messages) + TEMPLATE_TOKENS + MESSAGE_TOKENS * len(messages))

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        """The most probable answer; raises ModelError where the server gave none."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = openai.AsyncOpenAI(**self._settings)
        asked: Any = [{"role": message.role, "content": message.content} for message in messages]
        try:
            told = await self._clients[loop].chat.completions.create(
                model=self.name, messages=asked, max_tokens=max_tokens, temperature=0.0
            )
        except openai.APIStatusError as error:
            told = f"{self.name}: the server answered {error.status_code}: {_refusal(error)}"
            num_retries, after = self.num_retries if _may_repeat(error) else 0, _after(error)
            raise ModelError(told, error.status_code < 500, num_retries, after) from None
        except openai.APIConnectionError as error:
            raise ModelError(f"{self.name}: {_line(error.message)}", num_retries=self.num_retries) from None
        except openai.APIError as error:
            raise ModelError(f"{self.name}: {_line(error.message)}") from None
        except ValueError as error:  # a body that is no JSON
            raise ModelError(f"{self.name}: a malformed reply: {_line(str(error))}") from None
        choices = getattr(told, "choices", None)
        text = choices[0].message.content if choices and choices[0].message else None
        if not isinstance(text, str):
            raise ModelError(f"{self.name}: a malformed reply, without choices[0].message.content")
        read, written = (getattr(told.usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
        if not (isinstance(read, int) and isinstance(written, int) and read >= 0 and written >= 0):
            return Reply(text, self.most_tokens(messages), max_tokens)  # what is not told: the most that it can be
        if read + written > self.window:
            told = f"{read} tokens read and {written} written do not fit a window of {self.window}: give less text"
            raise ModelError(f"{self.name}: {told}")
        return Reply(text, read, written)


def connect(
    model: str, base_url: str, api_key: str = "none", window: int | None = None, price: Price | None = None
) -> Server:
    """The server's model, its window read from the server where it is not given.

    Raises ValueError where the server cannot be reached, has no such model, or does not tell the window. Whether
    `transformers serve` has the model, the first call tells: its list is of others.
    """
    try:
        scheme = httpx.URL(base_url).scheme
    except httpx.InvalidURL as error:
        raise ValueError(f"base_url {base_url}: {error}: give one as {EXAMPLE}") from None
    if scheme not in ("http", "https"):
        raise ValueError(f"base_url {base_url}: it has no http:// or https://: give one as {EXAMPLE}")
    unlisted = "/load_model" in (_page(base_url, "openapi.json").get("paths") or ())  # `transformers serve`
    entry = None if unlisted else _listed(model, base_url, api_key)
    found = _window(entry, base_url) if window is None and entry else window
    if found is None:
        raise ValueError(f"window: {base_url} does not tell that of {model}; give --window")
    if found < 1:
        raise ValueError(f"window {found}: give at least 1")
    return Server(model, found, base_url, api_key, price)


def _listed(model: str, base_url: str, api_key: str) -> Model:
    """What the list of models has of it."""
    client = openai.OpenAI(base_url=base_url, api_key=api_key, timeout=20.0, max_retries=1)
    try:
        listed = {entry.id: entry for entry in client.models.list()}
    except openai.APIStatusError as error:
        raise ValueError(
            f"base_url {base_url}: answered {error.status_code} to a list of its models: {_refusal(error)}"
        ) from None
    except AttributeError:  # what the library raises where a page is no JSON
        raise ValueError(f"base_url {base_url}: its list of models is no JSON: give one as {EXAMPLE}") from None
    except (openai.APIError, ValueError) as error:
        raise ValueError(f"base_url {base_url}: {_line(str(error))} start the server, or name another") from None
    if model not in listed:
        raise ValueError(f"model {model!r}: {base_url} has {', '.join(sorted(listed)) or 'none'}")
    return listed[model]


def _window(entry: Model, base_url: str) -> int | None:
    """As the list of models tells, or llama.cpp's own page; None where neither does.

    Ollama tells what a model was trained for, and serves with less: it is to be given.
    """
    extra = entry.model_extra or {}
    told = [extra.get(name) for name in WINDOW_FIELDS] + [(extra.get("meta") or {}).get("n_ctx")]
    told.append((_page(base_url, "props").get("default_generation_settings") or {}).get("n_ctx"))
    return next((value for value in told if isinstance(value, int) and value > 0), None)


def _page(base_url: str, name: str) -> dict[str, Any]:
    """A page beside the protocol's; empty where the server is another, and has none or no such JSON."""
    try:
        answered = httpx.get(f"{base_url.rstrip('/').removesuffix('/v1')}/{name}", timeout=5.0)
        told = answered.json() if answered.is_success else {}
    except (httpx.HTTPError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _may_repeat(error: openai.APIStatusError) -> bool:
    """As the server says, or its status; not where it asks for a wait that nobody sits out."""
    told = error.response.headers.get("x-should-retry")
    may = told == "true" if told in ("true", "false") else error.status_code >= 500 or error.status_code in REPEATED
    return may and (_after(error) or 0) <= LONGEST_AFTER


def _after(error: openai.APIStatusError) -> float | None:
    """Seconds that the server asks to wait; None where it does not tell a number."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(error.response.headers.get(name, "")) * unit
        except ValueError:
            continue
        if seconds > 0:
            return seconds
    return None


def _refusal(error: openai.APIStatusError) -> str:
    """In a line; with FastAPI's `detail`, in which `transformers serve` says why, and which `openai` leaves out."""
    detail = error.body.get("detail") if isinstance(error.body, dict) else None
    return _line(f"{error.message}: {detail}" if detail else error.message)


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
