"""The commands and links that README and the pages of docs show."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELLS = ("", "sh", "bash", "shell", "console")
IN_TABLE = re.compile(r"^\| `((?:scalelab|dvc) [^`]+)` \|", re.MULTILINE)
PROGRAMS = ("scalelab", "dvc", "make", "git", "source", "python", "lm_eval", "transformers", "mlflow", "jupyter", "ray")
# As the test of own texts runs them: the same lines stand in README and in docs/own-data.md.
OWN_TEXTS = ("git clone", "make install", "source ", "scalelab use laptop ~/texts", "make law")


def pages() -> list[str]:
    """README and every page of docs, by name from the root."""
    return ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def commands(page: Path) -> list[str]:
    """The page's commands in order, from blocks of shell and from the first column of tables, without comments."""
    text = page.read_text()
    found = [(match.start(), match[1]) for match in IN_TABLE.finditer(text)]
    for block in FENCE.finditer(text):
        if block[1] not in SHELLS:
            continue
        lines = re.sub(r"\\\n\s*", " ", block[2]).splitlines()
        bare = (re.sub(r"\s+#\s.*", "", line.removeprefix("$ ")).strip() for line in lines)
        found += [(block.start(), line) for line in bare if line.partition(" ")[0] in PROGRAMS]
    return [command for _, command in sorted(found, key=lambda pair: pair[0])]


def own_texts(command: str) -> bool:
    """Whether it is one of the five that lead to one's own texts."""
    return command.startswith(OWN_TEXTS)


def links(page: Path) -> list[Path]:
    """Files that the page links to or shows."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    return [page.parent / target for target in targets]
