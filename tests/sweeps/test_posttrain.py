"""Rewards of real runs, what rejection keeps, which groups GRPO leaves out, and both ways on a tiny model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evals.longcontext.gates import OracleLeaf
from evals.longcontext.item import Item
from evals.longcontext.lessons import pieces
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.programs import programs
from evals.longcontext.task import items
from evals.longcontext.tasks import TASKS
from experiments.rollouts import Rollouts, prompt
from models.checkpoint import save
from models.decoder import build
from models.ladder import Shape
from rlm.hf import HuggingFace
from rlm.lm import Message, Scripted
from rlm.policy import policy_tokenizer
from sweeps.posttrain import grpo, rft
from sweeps.posttrain.params import Method, PosttrainParams
from sweeps.posttrain.reward import Rollout, cheapest, reward
from sweeps.posttrain.tuning import Start

PARAMS = PosttrainParams(
    tasks=("count",), questions=2, group=8, batch=2, epochs=2, windows=(1,), items=1, learning_rate=3e-4
)
WAYS = {"rft": rft.train, "grpo": grpo.train}
LONGEST = 48  # tokens of a program here


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon(num_words=1200)


@pytest.fixture(scope="module")
def drawn(lexicon: Lexicon) -> list[Item]:
    return items(TASKS["count"], lexicon, 2, 2, 0, "train")


@pytest.fixture(scope="module")
def rollouts(lexicon: Lexicon, drawn: list[Item]) -> Rollouts:
    """In the sealed sandbox, with leaves that read without error."""
    return Rollouts(OracleLeaf(Scripted([]), lexicon), drawn)


def test_what_a_program_is_worth(rollouts: Rollouts, drawn: list[Item]) -> None:
    right = programs(drawn[0])[0].source
    twice = right.replace("kinds = ", "kinds = " + right.splitlines()[0].removeprefix("kinds = ") + "\nkinds = ", 1)
    wrong, unparsed, silent = "answer(1000)", "answer(((", 'print("")'
    found = rollouts([(0, program) for program in (right, twice, wrong, unparsed, silent)])
    assert [one.score for one in found] == pytest.approx([1, 1, 0, 0, 0], abs=1e-9)
    assert [one.valid for one in found] == [True, True, True, False, True]
    assert found[1].tokens > 1.5 * found[0].tokens > found[2].tokens > 0
    worth = [reward(one, PARAMS) for one in found]
    assert worth[0] == pytest.approx(1 - PARAMS.token_price * found[0].tokens / 1000)
    assert worth[0] > worth[1] > worth[2] > worth[3]
    spent = PARAMS.token_price * found[3].tokens / 1000
    assert worth[3] == pytest.approx(-spent - PARAMS.invalid_price)


def test_a_best_answer_so_far_is_worth_what_it_is_of_held_out_items(rollouts: Rollouts, drawn: list[Item]) -> None:
    (found,) = rollouts([(0, f"answer({drawn[0].gold.replace(' ', '')}, ready=False)")])
    assert (found.score, found.valid) == (1, True)


def test_a_program_is_run_once(rollouts: Rollouts, drawn: list[Item]) -> None:
    asked = [(0, programs(drawn[0])[0].source), (1, programs(drawn[1])[0].source)]
    one, other, again = rollouts([*asked, asked[0]])
    assert again is one
    assert rollouts([asked[1]]) == [other]


def test_rejection_keeps_the_cheapest_right_ones() -> None:
    found = [Rollout(1, 90, True), Rollout(1, 80, True), Rollout(0.75, 10, True), Rollout(1, 80, True)]
    assert cheapest("abcd", found) == ["b", "d"]
    assert cheapest("abcb", found) == ["b"]
    assert cheapest("ab", [Rollout(0, 5, False), Rollout(0.9, 5, True)]) == []


def test_groups_without_advantage_are_left_out() -> None:
    rows: dict[str, Any] = {
        "advantages": torch.tensor([1.5, -0.5, -0.5, -0.5, 1e-3, -1e-3, 0.0, 0.0]),
        "completion_mask": torch.ones(8, 3, dtype=torch.int),
        "num_items_in_batch": torch.tensor(24),
    }
    assert grpo.without_idle_groups(rows, 4).tolist() == [True] * 4 + [False] * 4
    assert rows["completion_mask"].sum(1).tolist() == [3] * 4 + [0] * 4
    assert rows["num_items_in_batch"] == 12


@pytest.fixture(scope="module")
def start(
    tmp_path_factory: pytest.TempPathFactory, lexicon: Lexicon, drawn: list[Item], rollouts: Rollouts, one_thread: None
) -> Start:
    """A model of 16 that has learnt, not too well, a right program and a wrong one."""
    place = tmp_path_factory.mktemp("posttrain")
    policy_tokenizer(pieces(lexicon)).save_pretrained(place / "tokenizer")
    num_entries = len(json.loads((place / "tokenizer/tokenizer.json").read_text())["model"]["vocab"])
    save(build(Shape(16), num_entries, 128, 0), place / "tokenizer", place / "untrained")
    prompts = [prompt(item) for item in drawn]
    untrained = Start(place / "untrained", prompts, rollouts, PARAMS, LONGEST)
    model = untrained.model()
    torch.manual_seed(0)
    pairs = [pair for one, item in zip(prompts, drawn, strict=True) for pair in taught(one, item)]
    rft.fine_tune(
        model, untrained.tokenizer(), pairs, replace(PARAMS, questions=4, batch=4, epochs=300, learning_rate=0.02)
    )
    save(model, place / "tokenizer", place / "checkpoint")
    return replace(untrained, checkpoint=place / "checkpoint")


def taught(asked: str, item: Item) -> list[rft.Pair]:
    return [(asked, programs(item)[0].source), (asked, "answer(1000)")]


def margin(start: Start) -> float:
    """Nats by which right programs are more likely than wrong ones, over the questions."""
    model, tokenizer, found = start.model().eval(), start.tokenizer(), 0.0
    for asked, item in zip(start.prompts, start.run.drawn, strict=True):
        for sign, (_, program) in zip((1, -1), taught(asked, item), strict=True):
            told = tokenizer(asked)["input_ids"]
            ids_BT = torch.tensor([told + tokenizer(program + tokenizer.eos_token)["input_ids"]])
            with torch.inference_mode():
                logits_TV = model(ids_BT).logits[0, len(told) - 1 : -1].log_softmax(-1)
            found += sign * float(logits_TV.gather(1, ids_BT[0, len(told) :, None]).sum())
    return found


def weights(model: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("method", WAYS)
def test_both_ways_end_to_end(run, start: Start, tmp_path: Path, method: Method) -> None:
    told = WAYS[method](start, tmp_path / "out")
    assert told["sampled"] == 16
    assert 1 <= told["kept"] <= 16
    assert told["trained_tokens"] > 20 * told["kept"]
    trained = replace(start, checkpoint=tmp_path / "out")
    assert not torch.equal(weights(trained.model()), weights(start.model()))
    assert margin(trained) > margin(start)
    assert (tmp_path / "out/tokenizer.json").read_bytes() == (start.checkpoint / "tokenizer.json").read_bytes()
    reply = run(HuggingFace(tmp_path / "out").complete((Message("user", start.prompts[0]),), LONGEST))
    assert reply.completion_tokens <= LONGEST


def test_without_a_right_program_rejection_changes_nothing(start: Start, tmp_path: Path) -> None:
    nothing = replace(start, run=lambda asked: [Rollout(0, 1, True) for _ in asked])
    assert rft.train(nothing, tmp_path / "out") == {"sampled": 16, "kept": 0, "trained_tokens": 0}
    assert torch.equal(weights(replace(start, checkpoint=tmp_path / "out").model()), weights(start.model()))


def test_without_an_advantage_grpo_changes_nothing(start: Start, tmp_path: Path) -> None:
    nothing = replace(start, run=lambda asked: [Rollout(0.7, 100, True) for _ in asked])
    assert grpo.train(nothing, tmp_path / "out") == {"sampled": 16, "kept": 0, "trained_tokens": 0}
    assert torch.equal(weights(replace(start, checkpoint=tmp_path / "out").model()), weights(start.model()))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tasks": ()}, r"tasks is \[\]: list one or more, each once"),
        ({"methods": ("rft", "rft")}, r"methods is \['rft', 'rft'\]: list one or more, each once"),
        ({"questions": 3}, "questions is 3: give a multiple of batch, 2"),
        ({"group": 1}, "group is 1: give 2 or more"),
        ({"epochs": 0}, "epochs is 0: give 1 or more"),
        ({"windows": (0, 1)}, r"windows is \[0, 1\]: give lengths of 1 or more"),
        ({"temperature": 0.0}, "temperature is 0.0: give a number above 0"),
        ({"token_price": -0.1}, "token_price is -0.1: give 0 or more"),
    ],
)
def test_one_line_for_what_cannot_be(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}"):
        replace(PARAMS, **changes)
