"""Programs are found in whatever fences a model puts around them."""

import pytest

from rlm.programs import fenced_program, is_program, parsed

NESTED = 'text = """\n```\nnot the end\n```\n"""\nanswer(text)\n'


@pytest.mark.parametrize(
    ("reply", "program"),
    [
        ("```python\nanswer(1)\n```", "answer(1)\n"),
        ("Let me see.\n```repl\nanswer(1)\n```\nDone.", "answer(1)\n"),
        ("```\nanswer(1)\n```", "answer(1)\n"),
        ("~~~py\nanswer(1)\n~~~", "answer(1)\n"),
        ("````Python\nanswer('```')\n````", "answer('```')\n"),
        ("  ```python\n  answer(1)\n  ```", "answer(1)\n"),
        ("```python\nanswer(1)", "answer(1)"),
        ("```python\nx = 1\n```\nand\n```python\nanswer(x)\n```", "x = 1\n"),
        (f"```python\n{NESTED}```", NESTED),
        ("```python\nanswer(\n```\nmore", "answer(\n"),
        ("```json\n{}\n```\n```python\nanswer(1)\n```", "answer(1)\n"),
        ("The answer is 3.", None),
        ("```javascript\nx\n```", None),
    ],
    ids=[
        "python", "repl", "bare", "tildes", "four", "indented", "open", "two", "nested", "broken", "other first",
        "none", "other",
    ],
)  # fmt: skip
def test_the_program_of_a_reply(reply: str, program: str | None) -> None:
    assert fenced_program(reply) == program


@pytest.mark.parametrize("program", ["(" * 5000, "1 +", "a\0b", "\ud800"], ids=["deep", "cut", "NUL", "surrogate"])
def test_what_is_no_python_is_not_parsed(program: str) -> None:
    assert not is_program(program)
    with pytest.raises(SyntaxError):
        parsed(program)
