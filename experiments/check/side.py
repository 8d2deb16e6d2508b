"""One side of the speed check: a process that imports its own checkout, sits warm, and works when it is told to.

It is run as a file, by PYTHONPATH of the checkout that it is to time, which may be older than this file. A line on
standard input names a work and how many steps to take; the line that comes back has the seconds they took, by the clock
and of the processor.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

WIDTH, WINDOW, PROMPT_TOKENS, MOST_TOKENS = 32, 512, 16, 256
WARMUP_STEPS = 30


def training(data: Path, scratch: Path) -> Callable[[int], object]:
    """Steps of the training loop with its metrics log, as the trunk of a cell takes them."""
    from sweeps import store
    from sweeps.data import load_data
    from sweeps.grid import Cell, Training
    from sweeps.train import Loop, MetricsLog

    found = load_data(data)
    settings = Training(sequence_length=64, batch_tokens=512, learning_rate=0.001, compile=False)
    cell = Cell("text", "decoder", WIDTH, 0, (), unique_tokens=65_536)
    recipe = store.Recipe(settings, found.manifest["vocab_size"], "", "", "cpu", "")
    loop = Loop(cell, recipe, found)
    log = MetricsLog(scratch, loop, None)

    def work(num_steps: int) -> None:
        for _ in range(num_steps):
            log.add(*loop.advance(None))

    return work


def decoding() -> Callable[[int], object]:
    """Tokens after a prompt, of random weights, over the static cache."""
    import torch

    from models import decoder
    from models.decoding.static import StaticDecoder
    from models.ladder import Shape

    model = decoder.build(Shape(WIDTH), 260, WINDOW, seed=0).eval()
    static = StaticDecoder(model, WINDOW, compile=False)
    prompt_1T = torch.arange(4, 4 + PROMPT_TOKENS)[None]
    return lambda num_tokens: static.greedy(prompt_1T, min(num_tokens, MOST_TOKENS))


def main() -> None:
    """Says where its code lies, then obeys until standard input ends."""
    # Only what is written to the parent may stand on its pipe: libraries print as they like.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import torch

    import sweeps

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        works = {"train": training(Path(sys.argv[1]), Path(scratch)), "decode": decoding()}
        for work in works.values():
            work(WARMUP_STEPS)
        root = Path(str(sweeps.__file__)).resolve().parent.parent
        print(json.dumps({"root": str(root)}), file=replies, flush=True)
        for line in sys.stdin:
            name, steps = line.split()
            began = time.perf_counter(), time.process_time()
            works[name](int(steps))
            ended = time.perf_counter(), time.process_time()
            print(*(end - begin for begin, end in zip(began, ended, strict=True)), file=replies, flush=True)


if __name__ == "__main__":
    main()
