"""Generated long-context tasks that force reading. Imports the standard library, numpy and nothing of other rooms."""
