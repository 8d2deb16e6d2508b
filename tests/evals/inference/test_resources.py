"""When tokens are there, how much memory a call takes, and what the machine could do."""

import time
from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from evals.inference.ceilings import Ceilings, count_params, read_bytes, roofline_seconds, state_bytes
from evals.inference.contest import Tokens, generated
from evals.inference.job import Job
from evals.inference.measure import prepare
from evals.inference.resources import kept_bytes, latencies, peak_bytes
from evals.inference.techniques import cache
from models.decoding.prefix import PrefixTree
from models.decoding.quantised import count_bytes, quantise
from models.decoding.speculative import early_exit
from models.decoding.static import Emit, StaticDecoder, unheard

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
ROTARY = 2 * 8 * 4  # bytes of its frequencies, which stay in float32


def test_tokens_that_come_together_share_their_step() -> None:
    """Prompts of 20 ms; then a token of 10 ms, and three together of 30 ms."""

    def stream(emit: Emit = unheard) -> Tokens:
        for _ in range(2):
            emit(0)
            for milliseconds, number in ((20, 1), (10, 1), (30, 3)):
                time.sleep(milliseconds / 1000)
                emit(number)
        return []

    def slow_first(emit: Emit = unheard) -> Tokens:
        emit(0)
        time.sleep(0.05)
        emit(1)
        return []

    told = latencies((slow_first, stream), CPU)
    assert told.keys() == {"baseline_seconds_to_first_token", "seconds_to_first_token", "seconds_per_token"}
    assert told["baseline_seconds_to_first_token"] >= 0.05
    assert 0.02 <= told["seconds_to_first_token"] < told["baseline_seconds_to_first_token"]
    assert 0.01 <= told["seconds_per_token"]["p50"] <= told["seconds_per_token"]["p95"]
    assert told["seconds_per_token"]["p50"] < 0.02  # three that come after 30 ms are not 30 ms each


def test_generate_tells_of_every_token_and_decodes_the_same(job: Job) -> None:
    work = generated(prepare(job))
    heard: list[int] = []
    assert work(heard.append) == work()
    assert heard == [0] + [1] * job.new_tokens


def test_memory_is_what_a_call_takes_at_its_peak() -> None:
    """64 MiB that are freed again, then 16 MiB, in one piece and in a thousand; the system counts pages in lots."""
    high = peak_bytes(lambda: torch.ones(1 << 24).sum(), [], CPU)
    low = peak_bytes(lambda: torch.ones(1 << 22).sum(), [], CPU)
    pieces = peak_bytes(lambda: [torch.ones(1 << 12) for _ in range(1 << 10)], [], CPU)
    if high is None or low is None or pieces is None:
        pytest.skip("this system does not tell the most memory of a call")
    assert 0.95 * 2**26 < high < 1.5 * 2**26
    assert 0.95 * 2**24 < low < 1.5 * 2**24
    assert 0.95 * 2**24 < pieces < 1.5 * 2**24


def test_a_side_keeps_its_weights_once_and_its_caches(job: Job) -> None:
    model = prepare(job).model
    decoder, shallow = StaticDecoder(model, 48, compile=False), StaticDecoder(early_exit(model, 1), 48, compile=False)
    weights = count_bytes(model)
    assert kept_bytes([decoder, shallow]) == kept_bytes([model]) == weights
    decoder.prefill(torch.zeros(2, 8, dtype=torch.long))
    assert kept_bytes([decoder, shallow]) == weights + state_bytes(model) * 2 * 48


def test_a_prefix_tree_is_of_the_call_that_fills_it(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty before it and after it, or a call would not be seen to take its memory."""
    made: list[PrefixTree] = []

    class Kept(PrefixTree):
        def __init__(self, max_bytes: int) -> None:
            super().__init__(max_bytes)
            made.append(self)

    monkeypatch.setattr(cache, "PrefixTree", Kept)
    with torch.compiler.set_stance("force_eager"):
        contest = cache.prefix_cache(prepare(job))
        contest.technique()
    assert made[0].bytes == 0
    told = contest.figures()
    assert told["bytes"] > 0
    assert 0 < told["hit_rate"] < 1


def test_a_step_reads_weights_and_states_and_a_token_multiplies_and_attends(job: Job) -> None:
    """Three layers of width 32 and MLP 88, 260 tokens: by hand."""
    model = prepare(job).model
    body = 3 * (4 * 32 * 32 + 3 * 32 * 88 + 2 * 32) + 32
    assert count_params(model) == body
    weights, states = 4 * (body + 260 * 32) + ROTARY, 3 * 2 * 32 * 4
    assert (read_bytes(model), state_bytes(model)) == (weights, states)
    # Two rows, a prompt of 5 and 3 tokens after it: of steps, two.
    bandwidth = Ceilings(1.0, {"float32": 1e30})
    assert roofline_seconds(model, 2, 5, 3, bandwidth) == 3 * weights + 2 * states * (5 + 6 + 7)
    multiplied = 2 * (2 * body * (5 + 2) + 2 * 260 * 32 * 3)
    attended = 2 * 4 * 3 * 32 * (15 + 6 + 7)
    assert roofline_seconds(model, 2, 5, 3, Ceilings(1e30, {"float32": 1.0})) == multiplied + attended


def test_quantised_weights_are_read_in_their_bits_and_a_tied_head_is_read(job: Job) -> None:
    model = prepare(job).model
    assert read_bytes(quantise(model, "int8-weight-only")) < 0.6 * read_bytes(model)
    half = prepare(replace(job, dtype="bfloat16")).model
    assert read_bytes(half) - ROTARY == (read_bytes(model) - ROTARY) / 2
    assert state_bytes(half) == state_bytes(model) / 2
    tied = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=32, n_layer=1, n_head=2, n_positions=16))
    assert read_bytes(tied) == 4 * sum(parameter.numel() for parameter in tied.parameters())
    assert state_bytes(tied) == 2 * 32 * 4
