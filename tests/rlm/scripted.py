"""Scripted models for tests: which prompt is a root's, roots that write given programs, and what they were told."""

from collections.abc import Callable

from rlm.lm import Messages, Scripted


def is_root(messages: Messages) -> bool:
    """Apart from a reader."""
    return messages[0].content.startswith("You answer a question")


def question_of(messages: Messages) -> str:
    return messages[1].content.rpartition("Question: ")[2]


def programs(*codes: str, reader: Callable[[str], str] = lambda prompt: "read", name: str = "scripted") -> Scripted:
    """A model that writes these programs, one a turn, and answers sub-calls as `reader` has it."""

    def answer(messages: Messages) -> str:
        if not is_root(messages):
            return reader(messages[-1].content)
        return f"I try this:\n```python\n{codes[len(messages) // 2 - 1]}\n```"

    return Scripted(answer, name=name)


def told(lm: Scripted) -> list[str]:
    """What the root's programs gave it, in order."""
    last = next(messages for messages in reversed(lm.heard) if is_root(messages))
    return [message.content for message in last if message.role == "user"][1:]


def recursive(messages: Messages) -> str:
    """A root that hands parts to solvers, each of which asks about two halves."""
    if not is_root(messages):
        return str(messages[-1].content.count("x\n"))
    if question_of(messages) == "whole":
        return "```python\nanswer(sum(rlm_all('part', context.split(8))))\n```"
    return "```python\nanswer(sum(int(one) for one in ask_all('half', context.split(4))))\n```"
