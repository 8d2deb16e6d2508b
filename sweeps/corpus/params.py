"""What the corpus is made of: the `corpus` and `validation` parts of the params. Standard library only."""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Source = Literal["installed", "files", "huggingface"]


@dataclass(frozen=True)
class CorpusParams:
    """Where text comes from and how much of it is kept; fields of the sources not chosen are ignored.

    max_bytes: training text at most, in bytes of UTF-8; validation text comes on top.
    packages, validation_groups, max_bytes_per_package: for `installed`, the names of the packages to train on, of those
        that are held out whole, and how many bytes one training package may give (None: no bound).
    paths: for `files`, globs of text (.txt, .md, .rst, .py, .pyi), .jsonl and .parquet files; a file of text is one
        document, in the others a row is one. Of more than twice the text that is kept no more is read.
    passage_bytes: for `files`, longer documents are cut at line ends into passages of that many bytes at most, each a
        document of its own (None: documents stay whole).
    dataset, config, split: for `huggingface`, a name on the hub or a local directory.
    text_field: the column that holds the text, in .jsonl and .parquet files and in datasets.
    validation_share: for `files` and `huggingface`, the share of the bytes held out, in whole documents chosen by hash.
    """

    source: Source = "installed"
    max_bytes: int = 64_000_000
    packages: tuple[str, ...] = ()
    validation_groups: tuple[str, ...] = ()
    max_bytes_per_package: int | None = None
    paths: tuple[str, ...] = ()
    passage_bytes: int | None = None
    dataset: str = ""
    config: str | None = None
    split: str = "train"
    text_field: str = "text"
    validation_share: float = 0.05

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise ValueError(f"corpus.source {self.source!r} is not known: use one of {', '.join(get_args(Source))}")
        _check_count("corpus.max_bytes", self.max_bytes)
        for field in ("max_bytes_per_package", "passage_bytes"):
            if getattr(self, field) is not None:
                _check_count(f"corpus.{field}", getattr(self, field))
        if not 0 < self.validation_share <= 0.5:
            raise ValueError(f"corpus.validation_share {self.validation_share!r} is not in (0, 0.5]: try 0.05")
        for field in ("packages", "validation_groups", "paths"):
            _check_names(f"corpus.{field}", getattr(self, field))
        for field in ("dataset", "config", "split", "text_field"):
            value = getattr(self, field)
            if not isinstance(value, str) and not (field == "config" and value is None):
                raise ValueError(f"corpus.{field} {value!r} is not text: write a name")
        self._check_source()

    @property
    def max_bytes_held_and_trained(self) -> float:
        """Training text at most, with the held-out share beside it."""
        return self.max_bytes / (1 - self.validation_share)

    def _check_source(self) -> None:
        needed: dict[Source, tuple[str, ...]] = {
            "installed": ("packages", "validation_groups"),
            "files": ("paths", "text_field"),
            "huggingface": ("dataset", "split", "text_field"),
        }
        for field in needed[self.source]:
            value = getattr(self, field)
            if not value:
                raise ValueError(f"corpus.{field} {value!r} is empty: corpus.source {self.source} needs it")
        if self.source == "installed":
            both = sorted(set(map(package_key, self.packages)) & set(map(package_key, self.validation_groups)))
            if both:
                raise ValueError(
                    f"corpus.validation_groups names {', '.join(both)}, as corpus.packages does: name it in one of them"
                )


@dataclass(frozen=True)
class ValidationParams:
    """The held-out excerpts: how many, and the bytes of UTF-8 in each; each comes from another document."""

    documents: int = 256
    document_bytes: int = 1024

    def __post_init__(self) -> None:
        _check_count("validation.documents", self.documents)
        _check_count("validation.document_bytes", self.document_bytes)
        if self.document_bytes < 16:
            raise ValueError(f"validation.document_bytes {self.document_bytes} is too short to measure: use 16 or more")


def built_from(corpus: CorpusParams, vocab_size: int, validation: ValidationParams) -> dict[str, Any]:
    """The settings behind a token store, as its manifest holds them."""
    settings = {"corpus": asdict(corpus), "vocab_size": vocab_size, "validation": asdict(validation)}
    return json.loads(json.dumps(settings))


def package_key(name: str) -> str:
    """A package's name as packaging compares it: typing_extensions and Typing-Extensions are one package."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _check_count(field: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{field} {value!r} is not a whole number above zero: write one")


def _check_names(field: str, names: tuple[str, ...]) -> None:
    if not isinstance(names, tuple) or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{field} {names!r} is not a list of names: write it as a list of texts")
    keys = [name if field == "corpus.paths" else package_key(name) for name in names]
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        raise ValueError(f"{field} names {', '.join(repeated)} more than once: name it once")
