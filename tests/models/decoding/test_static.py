"""Decoding over a static cache."""

import pytest
import torch

from models.decoding.static import StaticDecoder

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
def test_tokens_are_those_of_whole_sequences(target, prompts_BT, whole, compile: bool) -> None:
    decoder = StaticDecoder(target, 64, compile=compile)
    expected = whole(target, prompts_BT, 30)
    assert decoder.greedy(prompts_BT, 30).tolist() == expected
    assert decoder.greedy(prompts_BT, 30).tolist() == expected  # what the first left behind is masked
    assert len({tuple(row) for row in expected}) == 3


def test_a_step_taken_back_leaves_no_trace(target, prompts_BT) -> None:
    decoder = StaticDecoder(target, 64, compile=False)
    with torch.inference_mode():
        decoder.prefill(prompts_BT)
        straight = decoder.step(prompts_BT[:, :2])
        decoder.rewind(20)
        decoder.step(prompts_BT[:, 5:12])
        decoder.rewind(20)
        again = decoder.step(prompts_BT[:, :2])
    assert decoder.length == 22
    torch.testing.assert_close(again, straight, rtol=0, atol=0)


def test_a_prompt_that_fills_the_window_is_refused(target, prompts_BT) -> None:
    with pytest.raises(ValueError, match="a prompt of 20 tokens leaves no room in a window of 20: shorten it"):
        StaticDecoder(target, 20, compile=False).prefill(prompts_BT)
