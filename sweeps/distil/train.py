"""Trains one student under a teacher, or on data alone, at the same student compute: positions forward and backward.

    data        cross-entropy on the documents: the control
    sequence    cross-entropy on the same prompts with answers sampled from the teacher (Kim and Rush 2016, on data)
    logits      divergence from the teacher's distribution at every scored token (Hinton et al. 2015, at temperature 1)
    on-policy   data first, then divergence on answers that the student samples itself (Agarwal et al. 2024)

A student takes less than a minute at our sizes: one that was killed is trained again from its beginning.
"""

import contextlib
import functools
import math
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, GraniteForCausalLM, PreTrainedConfig, PreTrainedModel

from models import checkpoint, decoder
from sweeps import store
from sweeps.data import load_data
from sweeps.distil.answers import Answered, answer, answer_format
from sweeps.distil.job import DistilJob
from sweeps.documents import NO_TARGET, DocumentData
from sweeps.grid import Precision
from sweeps.identity import branch_identity
from sweeps.onednn import compile_options
from sweeps.train import Diverged, Loop, MetricsLog
from sweeps.validation import validation_loss


def divergence_loss(
    teacher: PreTrainedModel,
    model: GraniteForCausalLM,
    position_ids_1T: torch.Tensor,
    precision: Precision,
    inputs_BT: torch.Tensor,
    targets_BT: torch.Tensor,
) -> torch.Tensor:
    """Mean Kullback-Leibler divergence of the student from the teacher, in nats a scored token."""
    with torch.autocast(inputs_BT.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        with torch.no_grad():
            taught_BTV = teacher(input_ids=inputs_BT, position_ids=position_ids_1T, use_cache=False).logits
        logits_BTV = model(input_ids=inputs_BT, position_ids=position_ids_1T, use_cache=False).logits
    taught_BTV, logits_BTV = torch.log_softmax(taught_BTV.float(), -1), torch.log_softmax(logits_BTV.float(), -1)
    divergence_BT = (taught_BTV.exp() * (taught_BTV - logits_BTV)).sum(-1)
    scored_BT = targets_BT != NO_TARGET
    return (divergence_BT * scored_BT).sum() / scored_BT.sum()


@functools.cache
def compiled_divergence(device_type: str) -> Callable[..., torch.Tensor]:
    """One compiled function a process, as sweeps.train.compiled_loss."""
    options = compile_options(torch.device(device_type))
    return torch.compile(divergence_loss, dynamic=False, fullgraph=True, options=options)


class StudentLoop(Loop):
    """A cell's loop with the batches and the loss of the way."""

    def __init__(self, job: DistilJob, data: DocumentData, teacher: PreTrainedModel | None) -> None:
        super().__init__(job.cell, job.recipe, data)
        self.answered: Answered | None = None
        if job.way == "sequence":
            assert teacher is not None
            order = np.concatenate([self.batches.windows(step) for step in range(job.steps)])
            self.answered = answer(teacher, data.train, order, self.training.sequence_length, job.seed)
        if job.way == "logits":
            assert teacher is not None
            teacher.set_attn_implementation(decoder.TRAINING_ATTENTION)
            loss = compiled_divergence(self.device.type) if self.training.compile else divergence_loss
            self.loss_of = functools.partial(loss, teacher)

    def _batch(self) -> tuple[np.ndarray, np.ndarray]:
        if self.answered is None:
            return super()._batch()
        return self.answered.batch(self.step * self.training.batch_rows, self.training.batch_rows)


def distil(job: DistilJob) -> None:
    """Trains the student where it is not there yet, and puts record, metrics and checkpoint in place, whole.

    Raises ValueError where the data are not those of the recipe or cannot be distilled on, and where the teacher's
    vocabulary or window is not the student's. A student whose loss is lost leaves a record that says so.
    """
    if not job.is_settled:
        Student(job).train()


class Student:
    """One run of a job."""

    def __init__(self, job: DistilJob) -> None:
        self.job, self.training = job, job.recipe.training
        self.began = time.perf_counter()
        self.data = load_documents_of(job)
        self.teacher = None if job.way == "data" else load_teacher(job)
        self.part = job.directory.with_name(f".{job.directory.name}.part")

    def train(self) -> None:
        """From the first step to the record."""
        shutil.rmtree(self.part, ignore_errors=True)
        loop = StudentLoop(self.job, self.data, self.teacher)
        try:
            with contextlib.closing(MetricsLog(self.part, loop, self.job.fork)) as log:
                while loop.step < self.job.own_samples_from:
                    log.add(*loop.advance(self.job.fork))
                extra = self._finish_on_policy(loop, log) if self.job.way == "on-policy" else self._extra_cost(loop)
            windows = self.data.validation_windows(self.training.sequence_length)
            measured = validation_loss(loop.model, windows, self.data.manifest["validation"]["bytes"], loop.device)
            if not math.isfinite(measured.loss):
                raise Diverged(f"validation loss {measured.loss}")
        except Diverged as lost:
            outcome = {"status": "diverged", "reason": str(lost), "loss": None, "loss_se": None, "bits_per_byte": None}
        else:
            checkpoint.save(loop.model, self.data.tokenizer_path, self.part / "checkpoint")
            outcome = {"status": "done", "reason": "", **vars(measured), **vars(extra)}
        store.write_json(self.part / "record.json", self._record(outcome))
        store.put_in_place(self.part, self.job.directory)

    def _extra_cost(self, loop: StudentLoop) -> "ExtraCost":
        """Of every way but on-policy."""
        length = self.training.sequence_length
        if self.teacher is None:
            return ExtraCost()
        per_position = forward_flops(self.teacher.config, length)
        if loop.answered is not None:
            positions = loop.answered.positions
            return ExtraCost(positions, positions * per_position, loop.answered.seconds)
        positions = self.job.steps * self.training.batch_tokens
        return ExtraCost(judged_positions=positions, judging_flops=positions * per_position)

    def _finish_on_policy(self, loop: StudentLoop, log: MetricsLog) -> "ExtraCost":
        from sweeps.distil.on_policy import train_on_own_samples

        assert self.teacher is not None
        length, began = self.training.sequence_length, loop.step
        sampled = train_on_own_samples(self.job, loop, self.teacher, self.data, log)
        judged = (loop.step - began) * self.training.batch_tokens
        return ExtraCost(
            sampled.positions,
            sampled.positions * forward_flops(loop.model.config, length),
            sampled.seconds,
            judged,
            judged * forward_flops(self.teacher.config, length),
        )

    def _record(self, outcome: dict[str, Any]) -> dict[str, Any]:
        job = self.job
        return branch_identity(job.cell, job.recipe, job.steps) | {
            "fingerprint": job.fingerprint,
            "way": job.way,
            "teacher": None if self.teacher is None else job.teacher_digest,
            **outcome,
            "revision": job.revision,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "numpy": np.__version__,
            },
            "seconds": time.perf_counter() - self.began,
            "host": platform.node(),
        }


@dataclass(frozen=True)
class ExtraCost:
    """What a student costs beside its training, whose FLOPs are the same for every way.

    Positions that went through a model to sample answers, and through the teacher to judge them; FLOPs of those forward
    passes; seconds of sampling by the clock.
    """

    sampled_positions: int = 0
    sampling_flops: int = 0
    sampling_seconds: float = 0.0
    judged_positions: int = 0
    judging_flops: int = 0


def forward_flops(config: PreTrainedConfig, sequence_length: int) -> int:
    """FLOPs of a position forward in a model of the family, counted as Shape.flops_per_token counts them."""
    width, layers = config.hidden_size, config.num_hidden_layers
    per_layer = 4 * width**2 + 3 * width * config.intermediate_size + 2 * sequence_length * width
    return 2 * (layers * per_layer + config.vocab_size * width)


def load_documents_of(job: DistilJob) -> DocumentData:
    """The documents that the job's recipe names; raises ValueError where others lie there, or running text."""
    data = load_data(job.data)
    if not isinstance(data, DocumentData):
        raise ValueError(f"data {job.data} holds running text: distil on documents, whose answers can be sampled")
    there = (data.manifest["digest"], data.manifest["validation_digest"])
    if there != (job.recipe.data_digest, job.recipe.validation_digest):
        raise ValueError(f"{job.data} was built anew since this comparison began: start it again")
    form, length = answer_format(data.train), job.recipe.training.sequence_length
    if form.longest_prompt + form.longest_answer > length:
        raise ValueError(
            f"sequence_length {length} has no room for answers of {form.longest_answer} tokens after prompts of "
            f"{form.longest_prompt}, padded to one length: use {form.longest_prompt + form.longest_answer}"
        )
    return data


def load_teacher(job: DistilJob) -> PreTrainedModel:
    """The teacher in fp32, frozen; raises ValueError where it is not of the student's vocabulary and window."""
    teacher = AutoModelForCausalLM.from_pretrained(job.teacher, dtype=torch.float32)
    ours, theirs = job.recipe.vocab_size, teacher.config.vocab_size
    if ours != theirs:
        raise ValueError(
            f"teacher {job.teacher} has a vocabulary of {theirs} tokens, the student one of {ours}: use one tokenizer"
        )
    length, window = job.recipe.training.sequence_length, teacher.config.max_position_embeddings
    if window < length:
        raise ValueError(
            f"teacher {job.teacher} has a window of {window} tokens, the student one of {length}: lower sequence_length"
        )
    torch.nn.Module.to(teacher, torch.device(job.recipe.device))
    return teacher.eval().requires_grad_(False)
