"""The last part of an on-policy student: TRL's trainer on answers that the student samples itself.

Generalised knowledge distillation (Agarwal et al. 2024) with lambda 1 and temperature 1: every batch is sampled from
the student as it is, and judged by the teacher token by token. Optimiser, moments and rates are the loop's. TRL and
what it loads are imported here and nowhere else. Shapes: B rows, T tokens a window, P tokens of the longest prompt.
"""

import logging
import tempfile
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import SequentialSampler
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from models import decoder
from models.tokenizer import PAD_ID
from sweeps.distil.answers import answer_format
from sweeps.distil.job import DistilJob
from sweeps.documents import DocumentData
from sweeps.schedule import rate_factor
from sweeps.train import Loop, MetricsLog

UNWANTED = ("This GKD configuration (`lmbda=1.0`", "Passing `generation_config` together with generation-related arg")

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "You are importing from 'trl.experimental'")
    from trl.experimental.gkd import GKDConfig, GKDTrainer

# TRL recommends its other trainer, whose divergence at lambda 1 is the same; and it calls generate in a deprecated way.
for _name in ("trl.experimental.gkd.gkd_trainer", "transformers.generation.utils"):
    logging.getLogger(_name).addFilter(lambda record: not any(text in str(record.msg) for text in UNWANTED))


@dataclass
class Sampled:
    """What sampling cost so far: positions through the student, padding included, and seconds by the clock."""

    positions: int = 0
    seconds: float = 0.0


def train_on_own_samples(
    job: DistilJob, loop: Loop, teacher: PreTrainedModel, data: DocumentData, log: MetricsLog
) -> Sampled:
    """Advances the loop from its step to the last one; its metrics go to `log`, in nats of the divergence.

    A step trains on as many positions as any other: prompts are padded on the left to the longest there is, samples on
    the right to the window. Raises Diverged as the log does.
    """
    training, began = job.recipe.training, loop.step
    form = answer_format(data.train)
    order = torch.cat([torch.from_numpy(loop.batches.windows(step)) for step in range(began, job.steps)])
    for model in (loop.model, teacher):
        model.set_attn_implementation("sdpa")  # the lean loop's takes no mask
    for group, peak in zip(loop.optimizer.param_groups, loop.peak_rates, strict=True):
        group["lr"] = peak  # what the schedule multiplies

    def collate(rows: list[dict[str, int]]) -> dict[str, torch.Tensor]:
        documents = np.array([row["document"] for row in rows])
        return prompt_batch(data, documents, form.longest_prompt, training.sequence_length)

    with (
        tempfile.TemporaryDirectory(prefix="scalelab-trl-") as scratch,
        torch.random.fork_rng(devices=[] if loop.device.type == "cpu" else [loop.device]),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", ".*gradient_checkpointing` is deprecated", FutureWarning)  # TRL's own name
        trainer = OwnSamplesTrainer(
            model=loop.model,
            teacher_model=teacher,
            args=_config(job, job.steps - began, training.sequence_length - form.longest_prompt, scratch),
            data_collator=collate,
            train_dataset=Dataset.from_dict({"document": order.tolist()}),
            processing_class=AutoTokenizer.from_pretrained(data.tokenizer_path),
            callbacks=[_StepsToLog(loop, log)],
            optimizers=(
                loop.optimizer,
                LambdaLR(loop.optimizer, lambda step: rate_factor(began + step, training.warmup_steps, job.fork)),
            ),
        )
        trainer.generation_config.eos_token_id = form.end_token
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    loop.model.set_attn_implementation(decoder.TRAINING_ATTENTION)
    assert loop.step == job.steps
    return trainer.sampled


def prompt_batch(
    data: DocumentData, documents: np.ndarray, longest_prompt: int, sequence_length: int
) -> dict[str, torch.Tensor]:
    """Prompts of those documents, padded on the left to P, and which of their tokens are there: int64 [B, P] each."""
    tokens, scored = (torch.from_numpy(array) for array in data.train.rows(documents, sequence_length))
    lengths_B1 = scored.int().argmax(1, keepdim=True)
    places_BP = torch.arange(longest_prompt) - (longest_prompt - lengths_B1)
    there_BP = places_BP >= 0
    prompts_BP = torch.where(there_BP, tokens.gather(1, places_BP.clamp_min(0)), PAD_ID)
    return {"prompts": prompts_BP, "prompt_attention_mask": there_BP.long()}


def _config(job: DistilJob, num_steps: int, max_new_tokens: int, scratch: str) -> GKDConfig:
    training = job.recipe.training
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "`gradient_checkpointing` is deprecated", FutureWarning
        )  # TRL reads that name
        return GKDConfig(
            output_dir=scratch,
            max_steps=num_steps,
            per_device_train_batch_size=training.batch_rows,
            max_grad_norm=training.clip_norm,
            seed=job.seed,
            lmbda=1.0,
            temperature=1.0,
            beta=job.beta,
            max_new_tokens=max_new_tokens,
            max_length=training.sequence_length,
            bf16=training.precision == "bfloat16",
            gradient_checkpointing=False,
            use_cpu=job.recipe.device == "cpu",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )


class OwnSamplesTrainer(GKDTrainer):
    """TRL's trainer over the documents in their order, with whole windows, which counts what sampling costs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sampled = Sampled()
        super().__init__(*args, **kwargs)

    def _send_telemetry(self) -> None:
        """Sends nothing: TRL would report every trainer that is made."""

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        documents: Any = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(documents)

    def generate_on_policy_outputs(  # pyright: ignore[reportIncompatibleMethodOverride]  # static there, called on self
        self, model: PreTrainedModel, inputs: dict[str, torch.Tensor], generation_config: GenerationConfig
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """TRL's tokens, mask and labels, [B, T] each: padded, whatever the length of the longest sample."""
        began = time.perf_counter()
        made = GKDTrainer.generate_on_policy_outputs(model, inputs, generation_config)
        num_rows, length = made[0].shape
        self.sampled.positions += num_rows * (length - 1)  # the last token is not read
        self.sampled.seconds += time.perf_counter() - began
        assert generation_config.max_new_tokens is not None
        missing = inputs["prompts"].shape[1] + generation_config.max_new_tokens - length
        tokens_BT, mask_BT, labels_BT = (
            torch.nn.functional.pad(part, (0, missing), value=value)
            for part, value in zip(made, (PAD_ID, 0, -100), strict=True)
        )
        return tokens_BT, mask_BT, labels_BT


class _StepsToLog(TrainerCallback):
    """Moves the loop's step along and hands loss and gradient norm to its log."""

    def __init__(self, loop: Loop, log: MetricsLog) -> None:
        self.loop, self.log = loop, log

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:  # fmt: skip
        """After every step; the summary at the end has no gradient norm."""
        if logs is not None and "grad_norm" in logs:
            self.loop.step += 1
            self.log.add(torch.tensor(logs["loss"]), torch.tensor(logs["grad_norm"]))
