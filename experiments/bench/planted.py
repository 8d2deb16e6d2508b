"""Regressions to plant: a text of a file, what stands in its place as it could by mistake, and who must notice."""

from dataclasses import dataclass
from pathlib import Path

from experiments.check.row import Kind

Change = tuple[str, str, str]  # file, its text, what stands in its place


@dataclass(frozen=True)
class Plant:
    """One regression; `kinds` are those that must fail, and no other may."""

    name: str
    kinds: tuple[Kind, ...]
    changes: tuple[Change, ...]


def apply(plant: Plant, root: Path) -> None:
    """Changes the checkout's files; raises ValueError where a text is not there exactly once."""
    for name, there, instead in plant.changes:
        path = root / name
        text = path.read_text()
        if text.count(there) != 1:
            raise ValueError(f"plant {plant.name!r}: {name} has {text.count(there)} times {there!r}: write it anew")
        path.write_text(text.replace(there, instead))


LOOP, STATIC, SOLVER = "sweeps/train.py", "models/decoding/static.py", "analysis/solver.py"
ROW_MEANS = """losses_N = torch.nn.functional.cross_entropy(logits_NV, targets_BT.flatten(), reduction="none")
    losses_BT = losses_N.view_as(targets_BT)
    return (losses_BT.sum(1) / (targets_BT >= 0).sum(1).clamp_min(1)).mean()"""
CACHED = "model(input_ids=tokens_BQ, past_key_values=cache, use_cache=True).logits\n\n\n"
STEP = "self._step(self.model, self.cache, tokens_BQ)\n"
LINEAR = "isinstance(module, torch.nn.Linear) and module is not head"
BEGAN = "began = time.process_time()\n        "
# Busy for a fifth of what the work took of the processor: on a busy machine a fifth by the clock is more than that.
SPIN = "ended = time.process_time()\n        while time.process_time() < began + 1.2 * (ended - began): pass\n        "

GOLDEN = (
    Plant(
        "learning rate 2% higher",
        ("golden",),
        ((LOOP, "(self.model, self.training.learning_rate,", "(self.model, 1.02 * self.training.learning_rate,"),),
    ),
    Plant(
        "residual branches not scaled with depth",
        ("golden",),
        (
            (
                "models/decoder.py",
                "residual_multiplier=math.sqrt(BASE_LAYERS / shape.num_layers)",
                "residual_multiplier=1",
            ),
        ),
    ),
    Plant(
        "loss averaged over rows",
        ("golden",),
        (
            (
                LOOP,
                "return torch.nn.functional.cross_entropy(logits_NV, targets_BT.flatten(), reduction=reduction)",
                ROW_MEANS,
            ),
        ),
    ),
    Plant(
        "another seed of the weights",
        ("golden",),
        ((LOOP, "self.training.sequence_length, cell.seed)\n", "self.training.sequence_length, cell.seed + 1)\n"),),
    ),
    Plant(
        "warm-up one step late",
        ("golden",),
        (("sweeps/schedule.py", "min(1.0, (step + 1) / warmup_steps)", "min(1.0, step / warmup_steps)"),),
    ),
    Plant(
        "validation loss over padding too",
        ("golden",),
        (("sweeps/validation.py", "losses_of_tokens.view_as(targets) * scored", "losses_of_tokens.view_as(targets)"),),
    ),
)
LAW = (
    Plant(
        "loss in the place of its logarithm",
        ("law",),
        (
            (
                "analysis/fit.py",
                'Observations(logs, _log_column(points, "loss"))',
                'Observations(logs, np.exp(_log_column(points, "loss")))',
            ),
        ),
    ),
    Plant(
        "Huber's threshold on the loss",
        ("law",),
        (
            (
                SOLVER,
                "residual_AN = self.law.log_loss(theta_AK, self.logs) - self.y_PN[active]",
                "residual_AN = np.exp(self.law.log_loss(theta_AK, self.logs)) - np.exp(self.y_PN[active])",
            ),
            (
                SOLVER,
                "w_AN, jacobian_ANK = self.w_PN[active], expansion.jacobian_PNK\n",
                "w_AN, loss_AN = self.w_PN[active], np.exp(expansion.log_loss_PN)\n"
                "        jacobian_ANK = expansion.jacobian_PNK * loss_AN[..., None]\n",
            ),
            (
                SOLVER,
                "residual_AN = expansion.log_loss_PN - self.y_PN[active]",
                "residual_AN = loss_AN - np.exp(self.y_PN[active])",
            ),
            (SOLVER, "if expansion.curvature is not None:", "if False:"),
        ),
    ),
    Plant(
        "bootstrap of runs, not of cells",
        ("law",),
        (("analysis/bootstrap.py", 'return "cells" if cells_of_size', 'return "runs" if cells_of_size'),),
    ),
    Plant(
        "intervals of 90%, called 95%",
        ("law",),
        (("analysis/predict.py", "QUANTILES = (2.5, 97.5)", "QUANTILES = (5.0, 95.0)"),),
    ),
)
DETECTOR = (
    Plant(
        "detector's level at 1%", ("detector",), (("analysis/emergence/evidence.py", "ALPHA = 0.05", "ALPHA = 0.01"),)
    ),
)
INFERENCE = (
    Plant(
        "a layer left out of quantisation",
        ("inference",),
        (
            (
                "models/decoding/quantised.py",
                f"lambda module, _: {LINEAR}",
                f'lambda module, name: {LINEAR} and "up_proj" not in name',
            ),
        ),
    ),
    Plant(
        "the last drafted token never accepted",
        ("inference",),
        (
            (
                "models/decoding/speculative.py",
                "while num_accepted < len(draft.tokens) and",
                "while num_accepted < len(draft.tokens) - 1 and",
            ),
        ),
    ),
)
SPEED = (
    Plant(
        "one more forward a token",
        ("inference", "speed"),
        ((STATIC, f"return {CACHED}", f"model(input_ids=tokens_BQ, use_cache=False)\n    return {CACHED}"),),
    ),
    Plant(
        "training loop 20% slower",
        ("speed",),
        (
            (LOOP, "inputs_BT, targets_BT = (torch.from_numpy", f"{BEGAN}inputs_BT, targets_BT = (torch.from_numpy"),
            (LOOP, "return loss.detach(), norm\n", f"{SPIN}return loss.detach(), norm\n"),
        ),
    ),
    Plant(
        "decoding 20% slower",
        ("speed",),
        (
            (STATIC, "from collections.abc import", "import time\nfrom collections.abc import"),
            (STATIC, f"return {STEP}", f"{BEGAN}found = {STEP}        {SPIN}return found\n"),
        ),
    ),
)
PLANTS = (*GOLDEN, *LAW, *DETECTOR, *INFERENCE, *SPEED)
# Of every kind one is held against all kinds; the others against those whose numbers the baseline holds, and their own.
WHOLE = tuple(plant.name for plant in (GOLDEN[0], LAW[2], DETECTOR[0], INFERENCE[0], *SPEED))
