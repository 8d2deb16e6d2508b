"""A small decoder that has learned by heart what a solver of one question asks, and `transformers serve` on it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from transformers import GraniteForCausalLM

from models import checkpoint, decoder
from models.ladder import Shape
from rlm.lm import Messages, Scripted
from rlm.policy import EOS, LEAF, PIECE, ROOT, Trained, policy_tokenizer
from rlm.prompts import Chat
from rlm.solver import RLM

WINDOW = 4096
QUESTION = "which kinds ?"
KINDS = {"ana": "zorp", "eli": "fram", "ida": "caf\u00e9", "oto": "zorp"}
CONTEXT = "".join(f"{name} : {kind}\n" for name, kind in KINDS.items())
PROGRAM = 'answer(ask_all("kind ?", context.split(16)))'
DEADLINE = 200.0  # seconds until a server must listen

Lesson = tuple[list[int], list[int]]  # ids of a prompt, and of its answer


def right_answer(messages: Messages) -> str:
    """A program, or the kind in a line of the context; in the built-in model's format, or to a chat's prompt."""
    asked = messages[-1].content
    if asked.startswith(ROOT):
        return PROGRAM
    if messages[0].content.startswith("You answer"):
        return f"```python\n{PROGRAM}\n```"
    (kind,) = (kind for name, kind in KINDS.items() if f"{name} :" in asked)
    return f"<|1|> {kind}" if asked.startswith(LEAF) else f" {kind}"


def train(place: Path) -> Path:
    """A checkpoint that answers rightly whatever RLM asks for QUESTION, in both formats."""
    teacher = Scripted(right_answer, window=WINDOW)
    for prompts in (Trained(), Chat()):
        RLM(teacher, prompts=prompts).solve(QUESTION, CONTEXT)
    told = [("".join(one.content for one in messages), right_answer(messages) + EOS) for messages in teacher.heard]
    assert len(told) == 2 * (1 + len(KINDS))
    parts = [part for lesson in told for text in lesson for part in re.split(r"<\|\w+\|>", text)]
    pieces = {piece for part in parts for piece in PIECE.findall(part) if piece.isascii()}
    tokenizer = policy_tokenizer(sorted(pieces))
    model = decoder.build(Shape(32), len(tokenizer), WINDOW, seed=0)
    learn(model, [(tokenizer(prompt)["input_ids"], tokenizer(answer)["input_ids"]) for prompt, answer in told])
    tokenizer.save_pretrained(place / "tokenizer")
    checkpoint.save(model, place / "tokenizer", place / "checkpoint")
    return place / "checkpoint"


def learn(model: GraniteForCausalLM, lessons: list[Lesson]) -> None:
    """Gradient steps on all lessons, until each token of an answer is all but certain."""
    lessons = sorted(lessons, key=lambda lesson: len(lesson[0]))
    batches = [batch(lessons[:-1]), batch(lessons[-1:])]  # a chat's root is asked ten times as long a prompt
    optimizer = torch.optim.AdamW(decoder.parameter_groups(model, 0.02, 0.0))
    losses: list[torch.Tensor] = []
    for _ in range(400):
        losses = [model(input_ids=ids_BT, labels=labels_BT, use_cache=False).loss for ids_BT, labels_BT in batches]
        if max(losses) < 0.01:
            return
        torch.stack(losses).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    raise AssertionError(f"not learned: {losses}")


def batch(lessons: list[Lesson]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (B batch, T tokens), padded at their ends, and what counts of them: the answers."""
    longest = max(len(prompt) + len(answer) for prompt, answer in lessons)
    ids = [[*prompt, *answer] for prompt, answer in lessons]
    labels = [[-100] * len(prompt) + answer for prompt, answer in lessons]
    padded = [[row + [fill] * (longest - len(row)) for row in rows] for rows, fill in ((ids, 0), (labels, -100))]
    return torch.tensor(padded[0]), torch.tensor(padded[1])


class Served:
    """A server, as its command line starts it, on the CPU and a free port, without a cache and without the network."""

    def __init__(self, command: list[str], home: Path) -> None:
        self.command, self.home = command, home
        self.num_starts = 0

    def start(self) -> None:
        """Returns once it listens."""
        self.num_starts += 1
        self.log = self.home / f"{self.num_starts}.log"
        program, *arguments = self.command
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name(program), *arguments, "--device", "cpu", "--port", "0"],
                env={**os.environ, "HF_HOME": str(self.home), "HF_HUB_OFFLINE": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + DEADLINE
        while not (told := re.search(r"running on (http://\S+)", self.log.read_text(errors="replace"))):
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < until, self.log.read_text(errors="replace")
            time.sleep(0.05)
        self.url = f"{told[1]}/v1"

    def kill(self) -> None:
        """At once, with all that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def num_chats(self) -> int:
        """Chats that it has answered since it was started."""
        return self.log.read_text(errors="replace").count('"POST /v1/chat/completions HTTP/1.1" 200')
