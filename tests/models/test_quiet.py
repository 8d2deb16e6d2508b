"""torchao's words at import do not reach the user; others of the same loggers do."""

import logging
import subprocess
import sys

import pytest

from models.quiet import silence_torchao


def test_nothing_is_said_when_torchao_is_imported() -> None:
    """In the worst order: by transformers, before any module of `models`."""
    code = "import evals.inference.measure, torchao.prototype.qat"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_other_news_pass(caplog: pytest.LogCaptureFixture) -> None:
    silence_torchao()
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).propagate = True
        logging.getLogger(name).warning("%s of another kind", int)
    logging.getLogger("torchao").warning("Failed to load x.so: no GPU")
    assert [record.getMessage() for record in caplog.records] == ["<class 'int'> of another kind"] * 2
