"""The corpus: three sources, no duplicates, a held-out part that training has not seen, the same bytes every time."""

import hashlib
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweeps.corpus import CorpusParams, ValidationParams
from sweeps.corpus.build import build_corpus
from sweeps.corpus.dedup import NearDuplicates, jaccard, shingles
from sweeps.corpus.excerpts import cut_excerpts
from sweeps.corpus.select import Selection, select_documents
from sweeps.corpus.sources import cut_passages, read_documents

PACKAGES, HELD_OUT = ("jinja2", "requests", "attrs"), ("itsdangerous", "tomlkit")
INSTALLED = CorpusParams(packages=PACKAGES, validation_groups=HELD_OUT)
SMALL_VALIDATION = ValidationParams(documents=8, document_bytes=200)


def prose(seed: int, num_words: int = 300) -> list[str]:
    choices = random.Random(seed)
    return ["".join(choices.choices("abcdefghij", k=choices.randint(2, 7))) for _ in range(num_words)]


def write_txt(directory: Path, texts: dict[str, str]) -> CorpusParams:
    directory.mkdir(exist_ok=True)
    for name, text in texts.items():
        (directory / f"{name}.txt").write_text(text, encoding="utf-8")
    return CorpusParams(source="files", paths=(f"{directory}/*.txt",), validation_share=0.1)


def digest_of(directory: Path) -> dict[str, str]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def installed() -> Selection:
    return select_documents(INSTALLED)


def names_of(selection: Selection) -> list[str]:
    kept = [*selection.train, *selection.validation]
    return sorted(Path(candidate.document.group).stem for candidate in kept)


# Sources


def test_installed_packages_split_by_package(installed: Selection) -> None:
    assert {candidate.document.group for candidate in installed.train} == set(PACKAGES)
    assert {candidate.document.group for candidate in installed.validation} == set(HELD_OUT)
    for candidate in [*installed.train, *installed.validation]:
        document = candidate.document
        assert Path(document.name).suffix in {".py", ".pyi", ".md", ".rst", ".txt"}
        assert ".dist-info" not in document.name
        assert ".." not in document.name
        assert "\r" not in document.text
        assert document.version
        assert document.license not in {"", "unknown"}


def test_the_order_of_names_and_other_packages_change_nothing(installed: Selection) -> None:
    turned = CorpusParams(packages=("Attrs", "requests", "Jinja2"), validation_groups=HELD_OUT[::-1])
    assert select_documents(turned) == installed


@pytest.mark.parametrize(
    ("field", "name", "message"),
    [
        ("packages", "no-such-package", "corpus.packages names no-such-package, which is not installed: install it"),
        ("validation_groups", "numpy", "corpus.validation_groups names numpy, which is not a pure Python wheel"),
    ],
)
def test_a_package_that_cannot_be_read_is_refused(field: str, name: str, message: str) -> None:
    params = CorpusParams(**{"packages": PACKAGES, "validation_groups": HELD_OUT, field: (name,)})
    with pytest.raises(ValueError, match=message):
        select_documents(params)


@pytest.fixture
def three_formats(tmp_path: Path) -> tuple[str, ...]:
    import pyarrow
    import pyarrow.parquet

    texts = [" ".join(prose(seed)) for seed in range(6)]
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + texts[0].encode() + b"\r\nend\rof it")
    rows = [json.dumps({"content": text, "other": 1}) for text in texts[1:3]]
    (tmp_path / "b.jsonl").write_text("\n".join([rows[0], "", rows[1]]) + "\n")
    pyarrow.parquet.write_table(pyarrow.table({"n": [1, 2, 3], "content": texts[3:]}), tmp_path / "c.parquet")
    return tuple(str(tmp_path / name) for name in ("*.txt", "b.jsonl", "c.*"))


def test_files_of_all_three_formats(three_formats: tuple[str, ...]) -> None:
    params = CorpusParams(source="files", paths=three_formats, text_field="content")
    documents = list(read_documents(params))
    assert [(Path(document.group).name, document.name) for document in documents] == [
        *(("a.txt", ""), ("b.jsonl", "1"), ("b.jsonl", "3")),
        *(("c.parquet", "0"), ("c.parquet", "1"), ("c.parquet", "2")),
    ]
    first, *others = [" ".join(prose(seed)) for seed in range(6)]
    assert [document.text for document in documents] == [first + "\nend\nof it", *others]


def test_files_that_cannot_be_read_are_refused(tmp_path: Path, three_formats: tuple[str, ...]) -> None:
    (tmp_path / "bad.jsonl").write_text('{"content": "x"}\n{"content": \n')
    (tmp_path / "null.jsonl").write_text('{"content": null}\n')
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    (tmp_path / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    (tmp_path / "table.csv").write_text("content\n")
    refusals = {
        "none-*.txt": "corpus.paths .*none-.* matches no file",
        "bad.jsonl": "bad.jsonl line 2 is not JSON",
        "null.jsonl": "corpus.text_field 'content' in .* is NoneType, not text",
        "bad.parquet": "bad.parquet, which is not Parquet",
        "latin.txt": "latin.txt, which is not UTF-8 at byte 3",
        "table.csv": "table.csv, of no known kind: use .txt, .md, .rst, .py, .pyi, .jsonl, .parquet",
    }
    for pattern, message in refusals.items():
        with pytest.raises(ValueError, match=message):
            list(read_documents(CorpusParams(source="files", paths=(f"{tmp_path}/{pattern}",), text_field="content")))
    for pattern in three_formats[1:]:
        with pytest.raises(ValueError, match=r"corpus.text_field 'nothing' is .*content.*"):
            list(read_documents(CorpusParams(source="files", paths=(pattern,), text_field="nothing")))


def test_half_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "half.jsonl").write_text('{"text": "a\\ud800b"}\n')
    (document,) = read_documents(CorpusParams(source="files", paths=(str(tmp_path / "half.jsonl"),)))
    assert document.text == "a?b"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("offline")
def test_a_local_dataset_is_streamed_to_the_byte_limit(tmp_path: Path) -> None:
    texts = [" ".join(prose(seed)) for seed in range(100)]
    directory = tmp_path / "dataset"
    directory.mkdir()
    (directory / "rows.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    params = CorpusParams(source="huggingface", dataset=str(directory), text_field="body", max_bytes=20_000)
    documents = list(read_documents(params))
    assert [document.text for document in documents] == texts[: len(documents)]
    assert 20_000 / 0.95 <= sum(len(document.text) for document in documents) < 20_000 / 0.95 + len(texts[0]) * 1.2
    manifest = build_corpus(params, 260, ValidationParams(documents=1, document_bytes=100), tmp_path / "out")
    assert 15_000 < manifest["train"]["bytes"] <= 20_000
    assert {row["name"] for row in manifest["groups"]} == {str(directory)}
    for wrong, message in (
        ({"text_field": "text"}, "corpus.text_field 'text' is not in .* row 0, which has body"),
        ({"split": "none"}, "corpus.dataset .* split none.* cannot be opened"),
        ({"dataset": str(tmp_path / "none")}, "corpus.dataset .*none.* cannot be opened"),
    ):
        wrong_params = CorpusParams(
            **{"source": "huggingface", "dataset": str(directory), "text_field": "body", **wrong}
        )
        with pytest.raises(ValueError, match=message):
            list(read_documents(wrong_params))


# Duplicates


def test_planted_duplicates_go_and_different_texts_stay(tmp_path: Path) -> None:
    original = prose(0)
    near = [*original[:150], "changed", "words", *original[152:]]
    half = [*original[:150], *prose(1)[:150]]
    texts = {"original": original, "copy": original, "near": near, "half": half, "other": prose(2), "more": prose(3)}
    params = write_txt(tmp_path / "corpus", {name: " ".join(words) for name, words in texts.items()})
    (tmp_path / "corpus" / "returns.txt").write_bytes(" ".join(original).encode() + b"\r\n")
    (tmp_path / "corpus" / "feeds.txt").write_bytes(" ".join(original).encode() + b"\n")
    selection = select_documents(params)
    assert selection.duplicates.exact == 2  # copy, and returns once its line end is normalised
    assert selection.duplicates.near == 2
    names = names_of(selection)
    assert len(names) == 4
    assert set(names) >= {"half", "other", "more"}


def test_the_threshold_is_the_exact_jaccard_index() -> None:
    words = prose(0, 1000)
    sets = {}
    for num_changed in (100, 180, 400):
        near = NearDuplicates()
        changed = " ".join([*prose(9, num_changed), *words[num_changed:]])
        assert near.add(" ".join(words)) is None
        sets[num_changed] = near.add(changed)
        shared = (1000 - 4 - num_changed) / (1000 - 4 + num_changed)
        assert jaccard_of(" ".join(words), changed) == pytest.approx(shared, abs=0.01)
    assert sets == {100: 0, 180: None, 400: None}  # 0.82, 0.69 and 0.43


def jaccard_of(first: str, second: str) -> float:
    import numpy as np

    return jaccard(np.unique(shingles(first)), np.unique(shingles(second)))


def test_shingles_are_runs_of_five_words_whatever_the_space_between() -> None:
    text = "one two three four five six one two three four five"
    hashes = shingles(text)
    assert len(hashes) == 7
    assert len(set(hashes.tolist())) == 6
    assert (shingles(text.replace(" ", "\n\t  ")) == hashes).all()
    assert len(shingles("two words")) == len(shingles("")) == len(shingles(" \n")) == 1
    assert shingles("ab c d e f") != shingles("a bc d e f")


def test_hashes_are_the_same_in_every_process() -> None:
    code = "from sweeps.corpus.dedup import shingles; print(shingles('a b c d e f').tolist())"
    runs = [
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True)
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout == f"{shingles('a b c d e f').tolist()}\n".encode()


def test_training_loses_what_is_like_a_held_out_document(tmp_path: Path) -> None:
    texts = {f"{seed}": " ".join(prose(seed)) for seed in range(40)}
    params = write_txt(tmp_path, texts)
    held_out = [candidate.document for candidate in select_documents(params).validation]
    twins = {f"twin-{Path(document.group).stem}": document.text + " and a tail" for document in held_out}
    selection = select_documents(write_txt(tmp_path, twins))
    train_texts = {candidate.document.text for candidate in selection.train}
    for candidate in selection.validation:
        assert max(jaccard_of(candidate.document.text, text) for text in train_texts) < 0.7
    assert selection.duplicates.near == len(twins)
    assert selection.duplicates.of_validation > 0


# Split and caps


def test_the_share_of_bytes_is_held_out_and_nothing_is_in_both(tmp_path: Path) -> None:
    params = write_txt(tmp_path, {f"{seed}": " ".join(prose(seed)) for seed in range(100)})
    selection = select_documents(params)
    train, held_out = ({c.digest for c in split} for split in (selection.train, selection.validation))
    assert not train & held_out
    assert len(train) + len(held_out) == 100
    assert sum(c.num_bytes for c in selection.validation) == pytest.approx(0.1 * 100 * 1650, rel=0.2)


def test_caps_bound_the_bytes_and_keep_every_package(installed: Selection) -> None:
    bounded = CorpusParams(
        packages=PACKAGES, validation_groups=HELD_OUT, max_bytes=300_000, max_bytes_per_package=150_000
    )
    selection = select_documents(bounded)
    sizes = dict.fromkeys(PACKAGES, 0)
    for candidate in selection.train:
        sizes[candidate.document.group] += candidate.num_bytes
    assert 250_000 < sum(sizes.values()) <= 300_000
    assert all(20_000 < size <= 150_000 for size in sizes.values())
    assert selection.validation == installed.validation
    assert selection.text_bytes_available == installed.text_bytes_available > 600_000
    digests = [candidate.digest for candidate in selection.train]
    assert digests == sorted(digests)


def test_excerpts_are_cut_whole_characters_from_long_enough_documents(installed: Selection, tmp_path: Path) -> None:
    params = ValidationParams(documents=12, document_bytes=500)
    excerpts = cut_excerpts(installed.validation, params)
    assert len(excerpts) == len({(e.document.group, e.document.name) for e in excerpts}) == 12
    assert {excerpt.document.group for excerpt in excerpts} == set(HELD_OUT)
    starts = [excerpt.document.text.index(excerpt.text) for excerpt in excerpts]
    assert 0 in starts
    assert any(starts)
    for start, excerpt in zip(starts, excerpts, strict=True):
        assert start == 0 or excerpt.document.text[start - 1] == "\n"
        assert 250 <= len(excerpt.text.encode()) <= 500
    accents = write_txt(tmp_path, {str(seed): "\u00e9" * 400 + str(seed) for seed in range(9)})
    for excerpt in cut_excerpts(select_documents(accents).validation, ValidationParams(1, 101)):
        assert excerpt.text == "\u00e9" * 50


def test_more_excerpts_than_documents_is_refused(installed: Selection) -> None:
    with pytest.raises(
        ValueError, match=r"validation.documents 1000 is more than the .*: raise corpus.validation_share"
    ):
        cut_excerpts(installed.validation, ValidationParams(documents=1000))


# The store


@pytest.mark.parametrize("vocab_size", [260, 600])
def test_two_builds_are_the_same_bytes(tmp_path: Path, vocab_size: int) -> None:
    told: list[str] = []
    first = build_corpus(INSTALLED, vocab_size, SMALL_VALIDATION, tmp_path / "first", told.append)
    second = build_corpus(INSTALLED, vocab_size, SMALL_VALIDATION, tmp_path / "deep" / "second")
    assert told
    assert first == second == json.loads((tmp_path / "first" / "manifest.json").read_text())
    assert digest_of(tmp_path / "first") == digest_of(tmp_path / "deep" / "second")


def test_digests_follow_what_is_trained_on_and_measured_on(tmp_path: Path) -> None:
    def digests(corpus: CorpusParams = INSTALLED, vocab_size: int = 260, documents: int = 8) -> tuple[str, str]:
        validation = ValidationParams(documents=documents, document_bytes=200)
        manifest = build_corpus(corpus, vocab_size, validation, tmp_path / "store")
        return manifest["digest"], manifest["validation_digest"]

    train, held_out = digests()
    assert digests(documents=9) != (train, held_out)
    assert digests(documents=9)[0] == train
    fewer = digests(CorpusParams(packages=PACKAGES[:2], validation_groups=HELD_OUT))
    assert fewer[0] != train
    assert fewer[1] == held_out
    other_vocabulary = digests(vocab_size=300)
    assert other_vocabulary[0] != train
    assert other_vocabulary[1] != held_out


def test_a_build_that_fails_leaves_the_store_that_was_there(tmp_path: Path) -> None:
    out = tmp_path / "store"
    build_corpus(INSTALLED, 260, SMALL_VALIDATION, out)
    before = digest_of(tmp_path)
    for corpus, vocab_size in ((INSTALLED, 10**6), (CorpusParams(**{**INSTALLED.__dict__, "max_bytes": 10}), 260)):
        with pytest.raises(ValueError, match=r"tokenizer.vocab_size 1000000|corpus.max_bytes 10 "):
            build_corpus(corpus, vocab_size, SMALL_VALIDATION, out)
    assert digest_of(tmp_path) == before


# Params


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "web"}, "corpus.source 'web' is not known: use one of installed, files, huggingface"),
        ({"packages": ()}, r"corpus.packages \(\) is empty: corpus.source installed needs it"),
        ({"packages": "rich"}, "corpus.packages 'rich' is not a list of names"),
        ({"packages": ("rich", "Rich")}, "corpus.packages names rich more than once"),
        ({"validation_groups": ("Jinja2",)}, "corpus.validation_groups names jinja2, as corpus.packages does"),
        ({"max_bytes": 0}, "corpus.max_bytes 0 is not a whole number above zero"),
        ({"max_bytes": 1e6}, "corpus.max_bytes 1000000.0 is not a whole number"),
        ({"max_bytes_per_package": -1}, "corpus.max_bytes_per_package -1 is not"),
        ({"validation_share": 0.6}, "corpus.validation_share 0.6 is not in"),
        ({"source": "files"}, r"corpus.paths \(\) is empty: corpus.source files needs it"),
        ({"source": "huggingface"}, "corpus.dataset '' is empty"),
        ({"source": "huggingface", "dataset": "x", "split": None}, "corpus.split None is not text"),
    ],
)
def test_wrong_params_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CorpusParams(**{"packages": PACKAGES, "validation_groups": HELD_OUT, **fields})


def test_wrong_validation_params_are_refused() -> None:
    with pytest.raises(ValueError, match=r"validation\.documents 0 is not a whole number"):
        ValidationParams(documents=0)
    with pytest.raises(ValueError, match=r"validation\.document_bytes 8 is too short"):
        ValidationParams(document_bytes=8)


def test_params_need_the_standard_library_only() -> None:
    heavy = {"numpy", "torch", "datasets", "datasketch"}
    code = f"import sys, sweeps.corpus; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_passages_join_to_the_text_and_end_with_lines() -> None:
    text = "".join("\u00e9" * (number % 40) + f" line {number}\n" for number in range(400)) + "\u20ac" * 300
    for max_bytes in (3, 64, 500, 10**6):
        passages = list(cut_passages(text, max_bytes))
        assert "".join(passages) == text
        assert max(len(passage.encode()) for passage in passages) <= max_bytes
    long_lines_aside = [passage for passage in cut_passages(text, 500) if "\u20ac" not in passage]
    assert all(passage.endswith("\n") for passage in long_lines_aside)
    assert list(cut_passages(text, None)) == [text]


def test_long_documents_become_passages_with_places_of_their_own(tmp_path: Path) -> None:
    params = write_txt(tmp_path, {"long": "a line of it\n" * 100, "short": "one line\n"})
    documents = list(read_documents(replace(params, passage_bytes=130)))
    assert [document.name for document in documents] == [*(f"#{number}" for number in range(10)), ""]
    assert {len(document.text) for document in documents[:-1]} == {130}
    with pytest.raises(ValueError, match=r"corpus.passage_bytes 0 is not a whole number above zero"):
        replace(params, passage_bytes=0)


def test_of_far_more_text_than_is_kept_the_rest_stays_unread(tmp_path: Path) -> None:
    lines = "\u00e9".join(f"line {number}\n" for number in range(9000))
    params = replace(write_txt(tmp_path, {f"{number}": lines for number in range(5)}), max_bytes=60_000)
    read = list(read_documents(params))
    assert sum(len(document.text.encode()) for document in read) in (133_332, 133_333)  # Twice 60,000 / 0.9.
    assert len(read) == 2
    assert all(lines.startswith(document.text) for document in read)
