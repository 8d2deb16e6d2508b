"""What the harness says of a checkpoint, against torch alone: one row at a time, without padding, batches or caches."""

import json
import math
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GraniteForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from evals.abilities import ABILITIES, items
from evals.harness import evaluate
from evals.scores import Evaluation, Sample, Score
from models import checkpoint, decoder
from models.ladder import Shape
from models.tokenizer import train_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ("transform_direct", "recall_direct", "recall_direct_choice", "parity_direct", "parity_steps")
GENERATED = ("transform_direct_generate", "recall_direct_generate", "parity_steps_generate", "parity_steps_sampled")


def memorise(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], steps: int) -> None:
    """Trains until the texts are known by heart, each in a row of its own."""
    encoded = tokenizer(list(texts), padding=True, padding_side="right", return_tensors="pt")
    ids, labels = encoded["input_ids"], encoded["input_ids"].masked_fill(encoded["attention_mask"] == 0, -100)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimiser.step()


@pytest.fixture(scope="module")
def half_taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a token a byte, that knows half of the items of three abilities by heart and guesses the others."""
    folder = tmp_path_factory.mktemp("half-taught")
    known = [
        item.prompt + item.target
        for name in ("transform", "recall", "parity")
        for style in ABILITIES[name].styles
        for item in items(ABILITIES[name], style, 24, seed=0)[::2]
    ]
    tokenizer = train_tokenizer([], 260)
    tokenizer.save_pretrained(folder / "tokenizer")
    model = decoder.build(Shape(32), len(tokenizer), 64, seed=0)
    memorise(model, tokenizer, known, steps=150)
    checkpoint.save(model, folder / "tokenizer", folder / "checkpoint")
    return folder / "checkpoint"


@pytest.fixture(scope="module")
def evaluated(half_taught: Path, item_files: Path) -> Evaluation:
    """All in one call."""
    names = [f"scalelab_{name}" for name in (*NAMES, *GENERATED, "text")]
    return evaluate(half_taught, names, items=item_files)


def rows_of(item_files: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (item_files / f"{name}.jsonl").read_text().splitlines()]


def samples_of(evaluation: Evaluation, task: str) -> list[Sample]:
    return [sample for sample in evaluation.samples if sample.task == f"scalelab_{task}"]


def score_of(evaluation: Evaluation, task: str, metric: str) -> Score:
    (score,) = (s for s in evaluation.scores if (s.task, s.metric) == (f"scalelab_{task}", metric))
    return score


def torch_alone(directory: Path) -> Callable[[str, str], tuple[float, bool]]:
    """The log-likelihood of a text after a prompt, and whether each of its tokens is the likeliest."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(directory), AutoTokenizer.from_pretrained(directory)

    @torch.no_grad()
    def score(prompt: str, target: str) -> tuple[float, bool]:
        before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ids = tokenizer(prompt + target, add_special_tokens=False)["input_ids"]
        assert ids[: len(before)] == before
        logits = model(input_ids=torch.tensor([ids])).logits[0, len(before) - 1 : -1].double()
        after = torch.tensor(ids[len(before) :])
        logprob = logits.log_softmax(-1).gather(1, after[:, None]).sum().item()
        return logprob, bool((logits.argmax(-1) == after).all())

    return score


@pytest.mark.parametrize("name", ["transform_direct", "recall_direct", "parity_direct", "parity_steps", "text_late"])
def test_likelihoods_are_those_of_torch(name: str, half_taught: Path, item_files: Path, evaluated: Evaluation) -> None:
    score = torch_alone(half_taught)
    rows, samples = rows_of(item_files, name.replace("_", "-")), samples_of(evaluated, name)
    assert [(s.key, s.prompt, s.target, s.responses) for s in samples] == [
        (row["key"], row["prompt"], row["target"], ()) for row in rows
    ]
    for sample in samples:
        logprob, is_greedy = score(sample.prompt, sample.target)
        assert sample.metrics["logprob"] == pytest.approx(logprob, abs=1e-4)
        assert sample.metrics["logprob_per_char"] == pytest.approx(logprob / len(sample.target), abs=1e-5)
        assert sample.metrics.get("exact_match", is_greedy) == is_greedy


def test_choices_are_scored_as_torch_scores_them(half_taught: Path, item_files: Path, evaluated: Evaluation) -> None:
    score = torch_alone(half_taught)
    for row, sample in zip(
        rows_of(item_files, "recall-direct"), samples_of(evaluated, "recall_direct_choice"), strict=True
    ):
        logprobs = torch.tensor([score(row["prompt"], choice)[0] for choice in row["choices"]], dtype=torch.double)
        shares, right = logprobs.softmax(0), row["choices"].index(row["answer"])
        truth = torch.eye(len(shares), dtype=torch.double)[right]
        assert sample.metrics["acc"] == (logprobs.argmax().item() == right)
        assert sample.metrics["brier"] == pytest.approx(((shares - truth) ** 2).sum().item(), abs=1e-5)
        assert sample.metrics["choice_logprob"] == pytest.approx(shares[right].log().item(), abs=1e-4)


@contextmanager
def rows_seen() -> Iterator[list[tuple[list[int], list[int] | None]]]:
    """Every row of ids that reaches a model, with its attention mask."""
    seen: list[tuple[list[int], list[int] | None]] = []

    def look(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if isinstance(module, GraniteForCausalLM):
            ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
            mask = kwargs.get("attention_mask")
            seen.extend(zip(ids.tolist(), [None] * len(ids) if mask is None else mask.tolist(), strict=True))

    hook = torch.nn.Module.register_forward_pre_hook
    original = GraniteForCausalLM.__init__

    def with_hook(self: GraniteForCausalLM, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        hook(self, look, with_kwargs=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GraniteForCausalLM, "__init__", with_hook)
        yield seen


def test_rows_are_the_bytes_of_the_text_and_nothing_else(half_taught: Path, item_files: Path) -> None:
    """As in training, where a row begins with a document's first byte: ids are 4 above the bytes."""
    rows = rows_of(item_files, "transform-direct")
    with rows_seen() as seen:
        evaluate(half_taught, ["scalelab_transform_direct"], items=item_files)
    expected = sorted([4 + byte for byte in (row["prompt"] + row["target"]).encode()[:-1]] for row in rows)
    padded = [tuple(ids) for ids, _ in seen]
    assert len(padded) == len(expected)
    assert all(any(tuple(ids) == row[: len(ids)] and not any(row[len(ids) :]) for row in padded) for ids in expected)

    with rows_seen() as seen:
        evaluate(half_taught, ["scalelab_transform_direct_generate"], items=item_files)
    prompts = [[i for i, kept in zip(ids, mask, strict=False) if kept] for ids, mask in seen if mask]
    first = [ids for ids in prompts if len(ids) > 1][: len(rows)]
    assert sorted(first) == sorted([4 + byte for byte in row["prompt"].encode()] for row in rows)


# Generation


def test_generation_is_greedy_decoding_up_to_the_full_stop(
    half_taught: Path, item_files: Path, evaluated: Evaluation
) -> None:
    model = AutoModelForCausalLM.from_pretrained(half_taught)
    for task in ("transform_direct_generate", "parity_steps_generate"):
        samples = samples_of(evaluated, task)
        most = 1 + max(len(sample.target) for sample in samples)
        for sample in samples[:8]:
            ids = [4 + byte for byte in sample.prompt.encode()]
            while len(ids) < len(sample.prompt) + most and (len(ids) == len(sample.prompt) or ids[-1] != 4 + ord(".")):
                with torch.no_grad():
                    ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            said = bytes(i - 4 for i in ids[len(sample.prompt) :]).decode(errors="replace")
            assert sample.responses == (said.partition(".")[0],)


def test_teacher_forced_exact_match_is_that_of_generation(evaluated: Evaluation) -> None:
    for task in ("transform_direct", "recall_direct"):
        forced = [sample.metrics["exact_match"] for sample in samples_of(evaluated, task)]
        generated = [sample.metrics["exact_match"] for sample in samples_of(evaluated, f"{task}_generate")]
        assert forced == generated
        assert 0 < sum(forced) < len(forced)
    steps = samples_of(evaluated, "parity_steps"), samples_of(evaluated, "parity_steps_generate")
    assert all(g.metrics["exact_match"] >= f.metrics["exact_match"] for f, g in zip(*steps, strict=True))


def test_samples_differ_and_come_again(half_taught: Path, item_files: Path, evaluated: Evaluation) -> None:
    samples = samples_of(evaluated, "parity_steps_sampled")
    again = evaluate(half_taught, ["scalelab_parity_steps_sampled"], items=item_files)
    assert again == evaluate(half_taught, ["scalelab_parity_steps_sampled"], items=item_files)
    assert max(len(set(sample.responses)) for sample in samples) > 2
    for sample in samples:
        answer = sample.target.rpartition("=")[2].removesuffix(".")
        right = [re.sub(".*=", "", response) == answer for response in sample.responses]
        assert len(right) == 8
        assert sample.metrics["pass@1"] == pytest.approx(sum(right) / 8)
        assert sample.metrics["pass@8"] == any(right)
        assert sample.metrics["majority@8"] == 1 or sum(right) <= 4


# Scores


def test_scores_are_means_of_samples_and_say_what_they_are(evaluated: Evaluation) -> None:
    for score in evaluated.scores:
        if score.metric == "icl_score":
            continue
        values = [s.metrics[score.metric] for s in evaluated.samples if s.task == score.task]
        assert score.num_items == len(values) == 24
        assert score.value == pytest.approx(statistics.fmean(values))
        assert score.se == pytest.approx(statistics.stdev(values) / math.sqrt(24))
        assert score.task.startswith(f"scalelab_{score.ability}_{score.style}")
    chances = {(s.task.removeprefix("scalelab_"), s.metric): s.chance for s in evaluated.scores}
    assert chances["recall_direct", "exact_match"] == chances["recall_direct_choice", "acc"] == pytest.approx(1 / 8)
    assert chances["recall_direct_choice", "brier"] == pytest.approx(7 / 8)
    assert chances["recall_direct_choice", "choice_logprob"] == pytest.approx(-math.log(8))
    assert chances["parity_steps", "exact_match"] == chances["parity_steps_generate", "exact_match"] == 0.5
    assert chances["parity_steps_sampled", "pass@2"] == pytest.approx(0.75)
    assert chances["recall_direct", "logprob"] is None
    kinds = {score.ability: score.kind for score in evaluated.scores}
    in_context = dict.fromkeys(("recall", "text"), "in-context")
    assert kinds == in_context | {"transform": "instruction", "parity": "reasoning"}


def test_icl_score_is_what_long_context_is_worth(half_taught: Path, item_files: Path, evaluated: Evaluation) -> None:
    score, gains = torch_alone(half_taught), []
    early, late = rows_of(item_files, "text-early"), rows_of(item_files, "text-late")
    for short, long in zip(early, late, strict=True):
        target = short["target"]
        gains.append((score(long["prompt"], target)[0] - score(short["prompt"], target)[0]) / len(target))
    found = score_of(evaluated, "text", "icl_score")
    assert found.value == pytest.approx(statistics.fmean(gains), abs=1e-5)
    assert found.se == pytest.approx(statistics.stdev(gains) / math.sqrt(len(gains)), abs=1e-5)
    assert (found.num_items, found.chance) == (24, 0)


def test_a_later_checkpoint_gets_its_own_scores(half_taught: Path, item_files: Path, tmp_path: Path) -> None:
    """Tasks and tokenisation are kept in the process: neither weights nor another tokenizer may be."""
    tokenizer = train_tokenizer(["rev:abcd>dcba. sort-upper:"] * 9, 270)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    model = decoder.build(Shape(16), 270, 64, seed=1)
    torch.nn.init.normal_(model.lm_head.weight, generator=torch.Generator().manual_seed(0))
    checkpoint.save(model, tmp_path / "tokenizer", tmp_path / "checkpoint")
    tasks = ["scalelab_transform_direct"]
    before = evaluate(half_taught, tasks, items=item_files)
    score = torch_alone(tmp_path / "checkpoint")
    samples = evaluate(tmp_path / "checkpoint", tasks, items=item_files, limit=10).samples
    assert len(samples) == 10
    for sample in samples:
        assert sample.metrics["logprob"] == pytest.approx(score(sample.prompt, sample.target)[0], abs=1e-4)
    assert evaluate(half_taught, tasks, items=item_files) == before


# Shots


@pytest.mark.parametrize("task", ["parity_steps", "recall_direct_choice", "transform_direct_generate"])
def test_shots_are_lines_of_the_training_side(task: str, half_taught: Path, item_files: Path) -> None:
    file = "-".join(task.split("_")[:2])
    examples = {row["prompt"] + row["target"] for row in rows_of(item_files, f"{file}.shots")}
    with pytest.warns(UserWarning, match=rf"^scalelab_{task}: \d+ prompts do not fit the model's 64 tokens"):
        shown = evaluate(half_taught, [f"scalelab_{task}"], items=item_files, num_fewshot=3)
    for row, sample in zip(rows_of(item_files, file), shown.samples, strict=True):
        *shots, prompt = sample.prompt.split("\n")
        assert prompt == row["prompt"]
        assert len(set(shots)) == 3
        assert set(shots) <= examples
    alone = evaluate(half_taught, [f"scalelab_{task}"], items=item_files)
    assert [s.prompt for s in alone.samples] == [row["prompt"] for row in rows_of(item_files, file)]


# Tasks from elsewhere

SUITE = """
task: colours
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: options
doc_to_target: label
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


def test_a_suite_runs_beside_ours(half_taught: Path, item_files: Path, tmp_path: Path) -> None:
    rows = [{"question": f"{n} is", "options": ["red", "blue", "green"], "label": n % 3} for n in range(12)]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "colours.yaml").write_text(SUITE.format(file=tmp_path / "test.jsonl"))
    found = evaluate(half_taught, ["colours", "scalelab_recall_direct"], items=item_files, include=[tmp_path], limit=9)
    (score,) = (score for score in found.scores if score.task == "colours")
    alone = torch_alone(half_taught)
    right = [
        max(row["options"], key=lambda option: alone(row["question"], f" {option}")[0]) == row["options"][row["label"]]
        for row in rows[:9]
    ]
    assert score == Score("colours", "colours", "", "suite", "acc", sum(right) / 9, score.se, 9, pytest.approx(1 / 3))


def test_tasks_that_cannot_be_loaded_are_refused_in_a_line(half_taught: Path, item_files: Path, tmp_path: Path) -> None:
    def refusal(task: str, **options: Any) -> str:
        with pytest.raises(ValueError, match=r"^tasks names") as refused:
            evaluate(half_taught, [task], items=options.get("items", item_files))
        assert "\n" not in str(refused.value)
        return str(refused.value)

    assert refusal("scalelab_parity_steps", items=tmp_path).endswith(
        "parity-steps.jsonl does not exist: write the items first"
    )
    assert refusal("hellaswag").startswith(
        "tasks names hellaswag, whose data are not on disk: Couldn't reach 'Rowan/hell"
    )
    assert re.match(
        "tasks names scalelab_pairity, which is no task: use scalelab, scalelab_gen", refusal("scalelab_pairity")
    )
