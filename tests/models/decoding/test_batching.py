"""A batch that requests join and leave gives each what it would get alone."""

import random

import pytest
import torch

from models.decoding.batching import Batch

pytestmark = pytest.mark.usefixtures("one_thread")


def test_requests_that_come_and_go_get_what_they_get_alone(target, whole) -> None:
    generator = random.Random(0)
    prompts = [[generator.randrange(1, 40) for _ in range(generator.randrange(1, 30))] for _ in range(24)]
    wanted = [generator.randrange(1, 25) for _ in prompts]
    batch, waiting, rows = Batch(target, 5), list(range(24)), {}
    while waiting or batch.rows:
        if waiting and batch.num_free and (not batch.rows or generator.random() < 0.3):
            joining, waiting = waiting[: batch.num_free], waiting[batch.num_free :]
            joined = batch.join([(key, prompts[key], wanted[key]) for key in joining])
            rows |= {row.key: row for row in joined}
        else:
            batch.step()
        assert len(batch.rows) <= 5
        assert batch.mask_BT.shape == (len(batch.rows), batch.cache.get_seq_length())
        assert bool(batch.mask_BT.any(0).all())  # no column that nobody needs
    for key, prompt in enumerate(prompts):
        assert [rows[key].tokens] == whole(target, torch.tensor([prompt]), wanted[key])


def test_a_batch_without_rows_is_refused(target) -> None:
    with pytest.raises(ValueError, match="max_rows 0: give at least 1"):
        Batch(target, 0)
