"""The contenders of `bench train`: our loop and the Hugging Face Trainer, over the same model and the same batches."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from experiments.bench.pairs import Turns
from models import decoder
from sweeps import store
from sweeps.grid import Cell
from sweeps.schedule import Fork, rate_factor
from sweeps.tokens import TokenData, WindowBatches, load_tokens

if TYPE_CHECKING:
    from transformers import Trainer, TrainerCallback

WARMUP_STEPS = 30
CHECKED_STEPS = 10
# More steps than any round asks for: the parent ends the run.
ENDLESS_STEPS = 1_000_000


class Rows(Dataset[dict[str, torch.Tensor]]):
    """The batches of a cell row by row, in order: row i of the run is row i modulo B of step i // B."""

    def __init__(self, batches: WindowBatches, steps: int) -> None:
        self.batches, self.steps = batches, steps
        self.step = -1
        self.inputs_BT = self.targets_BT = torch.empty(0)

    def __len__(self) -> int:
        return self.steps * self.batches.windows_per_batch

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        step, row = divmod(index, self.batches.windows_per_batch)
        if step != self.step:
            self.inputs_BT, self.targets_BT = map(torch.from_numpy, self.batches.batch(step))
            self.step = step
        inputs_T, targets_T = self.inputs_BT[row], self.targets_BT[row]
        return {"input_ids": inputs_T, "labels": targets_T, "shift_labels": targets_T}


def hugging_face_trainer(
    cell: Cell,
    recipe: store.Recipe,
    data: TokenData,
    run: Fork | None,
    same_settings: bool,
    callbacks: list["TrainerCallback"],
    out: Path,
) -> "Trainer":
    """A Trainer set up as its user would: what the run needs is stated, everything else stays at its default.

    Model, initial weights, batches, optimiser and schedule are ours. `run` is where the run cools down and ends, None
    for one that others end. same_settings: precision and torch.compile as ours too.
    """
    from transformers import PrinterCallback, Trainer, TrainingArguments

    training = recipe.training
    steps = run.end if run else ENDLESS_STEPS
    model = decoder.build(cell.shape, recipe.vocab_size, training.sequence_length, cell.seed)
    groups = decoder.parameter_groups(model, training.learning_rate, training.weight_decay)
    # The Trainer's own default is the fused AdamW too; it cannot be told muP's rates.
    optimizer = torch.optim.AdamW(groups, betas=(training.beta1, training.beta2), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_factor(min(step, steps - 1), training.warmup_steps, run)
    )
    batches = data.windows(training.sequence_length, training.batch_rows, cell.seed, cell.unique_tokens)
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=training.batch_rows,
        learning_rate=training.learning_rate,
        max_grad_norm=training.clip_norm,
        train_sampling_strategy="sequential",
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=True,
        seed=cell.seed,
        torch_compile=same_settings and training.compile,
        bf16=same_settings and training.precision == "bfloat16",
    )
    rows, ours = Rows(batches, steps), (optimizer, schedule)
    trainer = Trainer(model, arguments, train_dataset=rows, callbacks=callbacks, optimizers=ours)
    trainer.remove_callback(PrinterCallback)
    return trainer


def train_ours(turns: Turns, cell: Cell, recipe: store.Recipe, data: Path) -> None:
    """Our loop with its metrics log, as the trunk of a cell runs it."""
    from sweeps.train import Loop, MetricsLog

    began = time.perf_counter()
    loop = Loop(cell, recipe, load_tokens(data))
    with tempfile.TemporaryDirectory() as scratch:
        log = MetricsLog(Path(scratch), loop, None)
        losses = [loop.advance(None)[0].item() for _ in range(WARMUP_STEPS)]
        turns.ready({"losses": losses[:CHECKED_STEPS], "warmup_seconds": time.perf_counter() - began})
        while turns.more():
            log.add(*loop.advance(None))


def train_theirs(turns: Turns, cell: Cell, recipe: store.Recipe, data: Path, same_settings: bool) -> None:
    """The Trainer, held between two steps while it is not its turn."""
    from transformers import TrainerCallback

    began = time.perf_counter()

    class Paced(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step <= CHECKED_STEPS:
                control.should_log = True
            if state.global_step == WARMUP_STEPS:
                losses = [line["loss"] for line in state.log_history if "loss" in line][:CHECKED_STEPS]
                turns.ready({"losses": losses, "warmup_seconds": time.perf_counter() - began})
            if state.global_step >= WARMUP_STEPS and not turns.more():
                control.should_training_stop = True

    with tempfile.TemporaryDirectory() as scratch:
        hugging_face_trainer(cell, recipe, load_tokens(data), None, same_settings, [Paced()], Path(scratch)).train()


def matmul_gflops(size: int = 1024) -> dict[str, float]:
    """GFLOP/s of one thread multiplying square fp32 matrices, the best of several tries, by each library torch has."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(size, size, generator=generator) for _ in range(2))
    products = {"torch_mm": lambda: torch.mm(left, right)}
    if torch.backends.mkldnn.is_available():
        products["onednn"] = lambda: torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    found = {}
    for name, product in products.items():
        seconds = []
        for _ in range(12):
            began = time.perf_counter()
            product()
            seconds.append(time.perf_counter() - began)
        found[name] = 2 * size**3 / float(np.min(seconds)) / 1e9
    return found
