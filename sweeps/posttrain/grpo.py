"""Group-relative policy optimisation with a reward that is measured: TRL's trainer on the root's own programs.

Advantages are of Shao et al. 2024 (DeepSeekMath, arXiv 2402.03300). Of Yu et al. 2025 (DAPO, arXiv 2503.14476) are the
mean over all tokens of a batch, no divergence from the first model, and that groups without advantage are left out.
Shapes: B programs, T tokens.
"""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from sweeps.posttrain.reward import reward
from sweeps.posttrain.tuning import CLIP_NORM, Start, optimiser, save

LEAST_ADVANTAGE = 1e-2  # TRL divides by the spread + 1e-4: rounding of equal rewards comes to a thousandth


def train(start: Start, out: Path) -> dict[str, int]:
    """Trains on each question once and writes the checkpoint; what was sampled, kept and trained on.

    Kept are the programs of groups with an advantage.
    """
    params, model = start.params, start.model()
    num_steps = len(start.prompts) // params.batch

    def worth(completions: list[str], place: list[int], **_: Any) -> list[float]:
        return [reward(rollout, params) for rollout in start.run(list(zip(place, completions, strict=True)))]

    with tempfile.TemporaryDirectory(prefix="scalelab-trl-") as scratch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing` is deprecated", FutureWarning)  # TRL's own name
        trainer = ProgramsTrainer(
            model=model,
            reward_funcs=worth,
            args=_config(start, scratch),
            train_dataset=Dataset.from_dict({"prompt": list(start.prompts), "place": list(range(len(start.prompts)))}),
            processing_class=start.tokenizer(),
            optimizers=optimiser(model, params.learning_rate, num_steps),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    save(model, start, out)
    sampled = num_steps * params.batch * params.group
    return {"sampled": sampled, "kept": trainer.kept, "trained_tokens": trainer.trained_tokens}


def without_idle_groups(rows: dict[str, Any], group: int) -> torch.Tensor:
    """Takes the programs of groups without advantage out of the loss and of what it is divided by.

    Returns which stay: bool [B].
    """
    is_idle = rows["advantages"].view(-1, group).abs().amax(1) < LEAST_ADVANTAGE
    stays_B = ~is_idle.repeat_interleave(group)
    rows["completion_mask"] = rows["completion_mask"] * stays_B[:, None]
    rows["num_items_in_batch"] = rows["completion_mask"].sum()
    return stays_B


def _config(start: Start, scratch: str) -> GRPOConfig:
    params = start.params
    return GRPOConfig(
        output_dir=scratch,
        per_device_train_batch_size=params.batch * params.group,
        num_generations=params.group,
        max_completion_length=start.reply_tokens,
        temperature=params.temperature,
        num_train_epochs=1,
        shuffle_dataset=False,  # they were drawn at random
        loss_type="dapo",
        beta=0.0,
        max_grad_norm=CLIP_NORM,
        seed=params.seed,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=start.device == "cpu",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


class ProgramsTrainer(GRPOTrainer):
    """TRL's trainer, which steps by groups with an advantage alone and counts them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.kept = self.trained_tokens = 0
        self._is_idle = False
        super().__init__(*args, **kwargs)

    def _send_telemetry(self) -> None:
        """Sends nothing: TRL would report every trainer that is made."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        rows = super()._generate_and_score_completions(inputs)
        assert self.num_generations is not None
        stays_B = without_idle_groups(rows, self.num_generations)
        self._is_idle = not stays_B.any()
        self.kept += int(stays_B.sum())
        self.trained_tokens += int(rows["prompt_mask"][stays_B].sum() + rows["completion_mask"].sum())
        return rows

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any) -> torch.Tensor:
        """A step; without any advantage there is no gradient, so that not even the moments move the model."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self._is_idle:
            model.zero_grad()
        return loss
