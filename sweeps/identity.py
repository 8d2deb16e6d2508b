"""The part of a record that is known before anything runs. Standard library only."""

from typing import Any

from sweeps import store
from sweeps.grid import Cell


def branch_identity(cell: Cell, recipe: store.Recipe, steps: int) -> dict[str, Any]:
    """The fields of a record that are known before anything runs."""
    training, shape = recipe.training, cell.shape
    tokens = steps * training.batch_tokens
    return {
        "schema_version": store.SCHEMA_VERSION,
        "fingerprint": store.fingerprint(cell, recipe, steps),
        "suite": cell.suite,
        "family": cell.family,
        "size": cell.width,
        "layers": shape.num_layers,
        "cell": cell.name,
        "branch": store.branch_name(tokens),
        "seed": cell.seed,
        "params_total": shape.params_total(recipe.vocab_size),
        "params_non_embedding": shape.params_non_embedding,
        "params_with_head": shape.params_with_head(recipe.vocab_size),
        "tokens": tokens,
        "unique_tokens": min(tokens, cell.unique_tokens or tokens),
        "flops": tokens * shape.flops_per_token(recipe.vocab_size, training.sequence_length),
        "flops_6nd": 6 * shape.params_non_embedding * tokens,
        "steps": steps,
        "batch_tokens": training.batch_tokens,
        "sequence_length": training.sequence_length,
        "learning_rate": training.learning_rate,
        "schedule": f"warmup {training.warmup_steps} steps, constant, 1-sqrt cooldown {training.cooldown_share:g}",
        "precision": training.precision,
        "compile": training.compile,
        "device": recipe.device,
        "data_digest": recipe.data_digest,
        "validation_digest": recipe.validation_digest,
    }
