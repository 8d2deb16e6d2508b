import models  # noqa: F401  # silences torchao, before anything here imports transformers
