"""The command line: every verb explains itself at once, without loading what it would need to work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import typer

from experiments.__main__ import app

HEAVY = ("torch", "transformers", "pandas", "scipy", "plotly", "mlflow", "datasets", "numpy", "lm_eval")
ASK_EVERY_VERB = """
import json, sys
from experiments.__main__ import main
codes = {}
for verb in json.loads(sys.argv[1]):
    sys.argv = ["scalelab", verb, "--help"]
    try:
        main()
    except SystemExit as ended:
        codes[verb] = ended.code
print(json.dumps({"codes": codes, "modules": list(sys.modules)}))
"""


def test_every_verb_explains_itself_and_loads_nothing_heavy(root: Path) -> None:
    verbs = list(typer.main.get_command(app).commands)  # pyright: ignore[reportAttributeAccessIssue]
    assert {"corpus", "plan", "train", "fit", "report", "status", "sync", "use"} <= set(verbs)
    done = subprocess.run(
        [sys.executable, "-c", ASK_EVERY_VERB, json.dumps(verbs)],
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["codes"] == dict.fromkeys(verbs, 0)
    assert not set(told["modules"]) & set(HEAVY)
    assert done.stdout.count("Usage: scalelab") == len(verbs)
    assert done.stderr == ""
