"""Trains one cell: a trunk at constant rate and, at each token count, a cooldown branch whose end is a data point.

Resume is exact: a trunk state holds weights, optimiser and step, batches depend on the step alone, so a killed cell
ends with the weights of an uninterrupted one, bit for bit on a CPU.
"""

import contextlib
import copy
import functools
import json
import math
import pickle
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import GraniteForCausalLM

from models import checkpoint, decoder
from sweeps import store
from sweeps.data import TrainingData, load_data
from sweeps.grid import Cell, Precision
from sweeps.identity import branch_identity
from sweeps.onednn import compile_options
from sweeps.schedule import Fork, fork, rate_factor
from sweeps.train_job import CellJob
from sweeps.validation import validation_loss

LOG_EVERY_STEPS = 20
SAVE_EVERY_SECONDS = 30.0
# Nats above a uniform guess at which a trunk counts as diverged: a model that knows nothing does better.
DIVERGED_MARGIN = 0.5


class Diverged(ArithmeticError):
    """The training loss left the range in which the run could still be a result."""


def batch_loss(
    model: GraniteForCausalLM,
    position_ids_1T: torch.Tensor,
    precision: Precision,
    inputs_BT: torch.Tensor,
    targets_BT: torch.Tensor,
    reduction: str = "mean",
) -> torch.Tensor:
    """Cross-entropy in nats, of all scored tokens the mean or the sum."""
    with torch.autocast(inputs_BT.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logits_BTV = model(input_ids=inputs_BT, position_ids=position_ids_1T, use_cache=False).logits
    logits_NV = logits_BTV.float().flatten(0, 1)
    return torch.nn.functional.cross_entropy(logits_NV, targets_BT.flatten(), reduction=reduction)


@functools.cache
def compiled_loss(device_type: str) -> Callable[..., torch.Tensor]:
    """One compiled function a process: models of one width share its code, so that only the first of them compiles."""
    options = compile_options(torch.device(device_type))
    return torch.compile(batch_loss, dynamic=False, fullgraph=True, options=options)


class Loop:
    """Model, optimiser and data of one cell, and the lean loop over them."""

    num_devices = 1

    def __init__(self, cell: Cell, recipe: store.Recipe, data: TrainingData) -> None:
        self.cell, self.recipe, self.training = cell, recipe, recipe.training
        self.device = torch.device(recipe.device)
        self.batches = data.windows(
            self.training.sequence_length, self.training.batch_rows, cell.seed, cell.unique_tokens
        )
        self.model = decoder.build(cell.shape, recipe.vocab_size, self.training.sequence_length, cell.seed)
        torch.nn.Module.to(self.model, self.device)
        self.model.set_attn_implementation(decoder.TRAINING_ATTENTION)
        self.parameters = list(self.model.parameters())
        groups = decoder.parameter_groups(self.model, self.training.learning_rate, self.training.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, betas=(self.training.beta1, self.training.beta2), fused=True)
        self.peak_rates = [group["lr"] for group in groups]
        self.position_ids_1T = torch.arange(self.training.sequence_length, device=self.device)[None]
        self.loss_of = compiled_loss(self.device.type) if self.training.compile else batch_loss
        self.step = 0
        self.steps_trained = 0

    def advance(self, cooldown: Fork | None) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step; returns the batch's loss and the gradient norm before clipping, not yet synchronised."""
        inputs_BT, targets_BT = (torch.from_numpy(a).to(self.device, non_blocking=True) for a in self._batch())
        factor = rate_factor(self.step, self.training.warmup_steps, cooldown)
        for group, peak in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
            group["lr"] = peak * factor
        loss = self.loss_of(self.model, self.position_ids_1T, self.training.precision, inputs_BT, targets_BT)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.training.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.steps_trained += 1
        return loss.detach(), norm

    def _batch(self) -> tuple[np.ndarray, np.ndarray]:
        return self.batches.batch(self.step)

    def state(self) -> dict[str, Any]:
        """Weights, optimiser and step as they are now: views that the next step overwrites."""
        return {"step": self.step, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Puts the loop where `state` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def whole_model(self) -> GraniteForCausalLM:
        """The model as one device can evaluate and save it."""
        return self.model


class MetricsLog:
    """Appends a line to metrics.jsonl every LOG_EVERY_STEPS; raises Diverged when the loss is lost."""

    def __init__(self, directory: Path, loop: Loop, cooldown: Fork | None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.loop, self.cooldown = loop, cooldown
        self.losses: list[torch.Tensor] = []
        kept = store.keep_whole_lines(directory)
        self.logged_step = kept[-1]["step"] if kept else 0
        self.file = (directory / "metrics.jsonl").open("a", buffering=1)

    def add(self, loss: torch.Tensor, norm: torch.Tensor) -> None:
        """Takes in one step; synchronises with the device when a line is due."""
        self.losses.append(loss)
        if self.loop.step % LOG_EVERY_STEPS:
            return
        mean, gradient_norm = torch.stack(self.losses).mean().item(), norm.item()
        self.losses.clear()
        training = self.loop.training
        limit = math.log(self.loop.recipe.vocab_size) + DIVERGED_MARGIN
        if not mean < limit or not math.isfinite(gradient_norm):
            raise Diverged(f"training loss {mean:.3g}, gradient norm {gradient_norm:.3g} at step {self.loop.step}")
        rate = training.learning_rate * rate_factor(self.loop.step - 1, training.warmup_steps, self.cooldown)
        line = {
            "step": self.loop.step,
            "tokens": self.loop.step * training.batch_tokens,
            "loss": mean,
            "learning_rate": rate,
            "gradient_norm": gradient_norm,
            "time": round(time.time() * 1000),
        }
        if self.loop.step > self.logged_step:
            self.file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Ends the file; what was added since the last line is left out."""
        self.file.close()


def train_cell(job: CellJob) -> None:
    """Trains what the cell store lacks of this cell and writes a record for every branch."""
    CellRun(job).run()


class CellRun:
    """One pass over a cell's pending branches, by the loop that `make_loop` makes of a cell, its recipe and data."""

    def __init__(self, job: CellJob, make_loop: Callable[[Cell, store.Recipe, TrainingData], Loop] = Loop) -> None:
        self.job, self.training, self.make_loop = job, job.recipe.training, make_loop
        self.data = self._load_data()
        self.trunk_dir = job.directory / store.TRUNK
        self.trunk_fingerprint = store.fingerprint(job.cell, job.recipe, None)
        self.began = time.perf_counter()
        self.windows = self.data.validation_windows(self.training.sequence_length)

    def run(self) -> None:
        """Trains to the last pending fork, leaving the trunk at each; a diverged trunk ends all that follow."""
        pending = self.job.pending_steps()
        if not pending:
            return
        loop = self.make_loop(self.job.cell, self.job.recipe, self.data)
        forks = sorted((self._fork(steps) for steps in pending), key=lambda f: f.start)
        for branch in forks:  # A killed run may have left parts of its own.
            shutil.rmtree(self._part(branch.end), ignore_errors=True)
        self._resume(loop, forks[0].start)
        for index, branch in enumerate(forks):
            try:
                self._trunk(loop, branch.start)
            except Diverged as lost:
                for other in forks[index:]:
                    self._write_diverged(loop, other.end, str(lost))
                return
            self._branch(loop, branch)

    def _load_data(self) -> TrainingData:
        """The tokens that the job's fingerprint names; raises ValueError where others lie there now."""
        data, recipe = load_data(self.job.data), self.job.recipe
        there = (data.manifest["digest"], data.manifest["validation_digest"])
        if there != (recipe.data_digest, recipe.validation_digest):
            raise ValueError(f"{self.job.data} was built anew since this sweep began: start it again")
        return data

    def _fork(self, steps: int) -> Fork:
        return fork(steps, self.training.cooldown_share, self.training.warmup_steps)

    def _resume(self, loop: Loop, latest_start: int) -> None:
        """Loads the furthest trunk state that the first pending branch can still leave from; clears a stale trunk.

        A state that a dying machine left damaged is dropped: the trunk is trained again from the one before it.
        """
        mark = self.trunk_dir / "fingerprint"
        if not mark.exists() or mark.read_text() != self.trunk_fingerprint:
            shutil.rmtree(self.trunk_dir, ignore_errors=True)
            self.trunk_dir.mkdir(parents=True)
            mark.write_text(self.trunk_fingerprint)
        for half_written in self.trunk_dir.glob("*.tmp"):
            half_written.unlink()
        steps = sorted(int(path.stem) for path in self.trunk_dir.glob("*.pt"))
        for step in reversed([step for step in steps if step <= latest_start]):
            try:
                state = torch.load(self._state_path(step), map_location="cpu", weights_only=True)
            except (RuntimeError, EOFError, pickle.UnpicklingError):  # what torch raises for a file that is not whole
                self._state_path(step).unlink()
            else:
                return loop.load_state(state)

    def _state_path(self, step: int) -> Path:
        return self.trunk_dir / f"{step}.pt"

    def _save_trunk(self, loop: Loop) -> None:
        """Saves the trunk as it is and drops earlier states that no branch of the cell leaves from."""
        path = self._state_path(loop.step)
        if not path.exists():
            temporary = path.with_suffix(".tmp")
            torch.save(loop.state(), temporary)
            temporary.replace(path)
        starts = {self._fork(steps).start for steps in self.job.cell.steps}
        for other in self.trunk_dir.glob("*.pt"):
            if int(other.stem) < loop.step and int(other.stem) not in starts:
                other.unlink()

    def _trunk(self, loop: Loop, stop: int) -> None:
        """Advances the trunk; its state is kept at every fork and, in between, every SAVE_EVERY_SECONDS.

        In between only after a line of metrics, so that the lines of a resumed trunk average the same steps.
        """
        saved_at = time.perf_counter()
        with contextlib.closing(MetricsLog(self.trunk_dir, loop, None)) as log:
            while loop.step < stop:
                log.add(*loop.advance(None))
                if not log.losses and time.perf_counter() - saved_at > SAVE_EVERY_SECONDS:
                    self._save_trunk(loop)
                    saved_at = time.perf_counter()
        self._save_trunk(loop)

    def _branch(self, loop: Loop, branch: Fork) -> None:
        """Cools down from the fork, evaluates, writes the branch, and puts the loop back on the trunk."""
        trunk = copy.deepcopy(loop.state())
        with contextlib.closing(MetricsLog(self._part(branch.end), loop, branch)) as log:
            try:
                while loop.step < branch.end:
                    log.add(*loop.advance(branch))
                self.finish_branch(loop, branch.end)
            except Diverged as lost:
                self._write_diverged(loop, branch.end, str(lost))
        loop.load_state(trunk)

    def finish_branch(self, loop: Loop, steps: int) -> None:
        """Evaluates the loop's model and writes checkpoint and record of the branch that ends here."""
        part = self._part(steps)
        text_bytes = self.data.manifest["validation"]["bytes"]
        model = loop.whole_model()
        measured = validation_loss(model, self.windows, text_bytes, loop.device)
        if not math.isfinite(measured.loss):
            raise Diverged(f"validation loss {measured.loss} after {steps} steps")
        checkpoint.save(model, self.data.tokenizer_path, part / "checkpoint")
        outcome = {"status": "done", "reason": "", **vars(measured)}
        self._put_record(loop, steps, outcome)

    def _part(self, steps: int) -> Path:
        return self._branch_dir(steps).with_name(f".{self._branch_dir(steps).name}.part")

    def _branch_dir(self, steps: int) -> Path:
        return store.branch_dir(self.job.runs, self.job.cell, steps * self.training.batch_tokens)

    def _put_record(self, loop: Loop, steps: int, outcome: dict[str, Any]) -> None:
        store.write_json(self._part(steps) / "record.json", self._record(loop, steps, outcome))
        store.put_in_place(self._part(steps), self._branch_dir(steps))

    def _write_diverged(self, loop: Loop, steps: int, reason: str) -> None:
        self._part(steps).mkdir(parents=True, exist_ok=True)
        outcome = {"status": "diverged", "reason": reason, "loss": None, "loss_se": None, "bits_per_byte": None}
        self._put_record(loop, steps, outcome)

    def _record(self, loop: Loop, steps: int, outcome: dict[str, Any]) -> dict[str, Any]:
        """The record; seconds are what this branch cost on top of those before it, its part of the trunk included."""
        cell, recipe = self.job.cell, self.job.recipe
        seconds = time.perf_counter() - self.began
        tokens_trained = loop.steps_trained * self.training.batch_tokens
        self.began, loop.steps_trained = time.perf_counter(), 0
        return branch_identity(cell, recipe, steps) | {
            **outcome,
            "revision": self.job.revision,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "numpy": np.__version__,
            },
            "seconds": seconds,
            "tokens_per_second": tokens_trained / seconds,
            "host": platform.node(),
            "num_devices": loop.num_devices,
        }
