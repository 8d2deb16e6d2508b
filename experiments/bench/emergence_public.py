"""The BIG-bench tasks of Ruan et al. 2024 (ObsScaling), public base models pooled over families, through the detector.

No two of these models are replicates: each is a scale of its own, and how far families run ahead or behind is taken
from the residuals around the curve.
"""

from pathlib import Path
from typing import Any

import pandas as pd

MODELS, SCORES = "obsscaling_base_llm_benchmark_eval.csv", "obsscaling_emergent_capability_eval.csv"
FLOPS_UNIT = 1e21
# Items of a task as the scores' denominators give them, and the score of guessing (four choices, else none). BLEU is no
# share of items; a mean over so many sentences within [0, 1] would vary at most as a share does.
TASKS = {
    "parsinlu_qa_2_acc": (1050, 0.25),
    "word_unscrambling_2_exact_match": (2000, 0.0),
    "ipa_transliterate_2_exact_match": (1003, 0.0),
    "ipa_transliterate_2_bleu": (1003, 0.0),
    "arithmetic_3ds_2_acc": (2000, 0.0),
    "arithmetic_3da_2_acc": (2000, 0.0),
    "arithmetic_2dm_2_acc": (2000, 0.0),
    "arithmetic_2da_2_acc": (2000, 0.0),
}


def public_table(folder: Path) -> pd.DataFrame:
    """The detector's table: a row for every model whose compute is known and every task that it was scored on."""
    models = pd.read_csv(folder / MODELS).set_index("Model")["FLOPs (1E21)"] * FLOPS_UNIT
    wide = pd.read_csv(folder / SCORES)
    wide = wide.assign(compute=wide["Model"].map(models)).dropna(subset="compute")
    tables = []
    for name, (num_items, chance) in TASKS.items():
        value = wide[name] / (100 if name.endswith("bleu") else 1)
        task, metric = name.split("_2_")
        columns = {"task": task, "metric": metric, "seed": 0, "value": value, "num_items": num_items, "chance": chance}
        tables.append(wide[["compute"]].assign(**columns).dropna())
    return pd.concat(tables, ignore_index=True)


def public_rows(folder: Path) -> list[dict[str, Any]]:
    """What emergence.json says of every task."""
    from analysis.emergence import label_table

    return label_table(public_table(folder))["rows"]
