"""Every task of the closed world at its default dials, by name."""

from evals.longcontext.aggregates import Argmax, Compare, Count, CountByDate, CountByUser
from evals.longcontext.lookups import Chain, SemNIAH
from evals.longcontext.pairs import SemPairs, TruePairs
from evals.longcontext.statelog import StateLog
from evals.longcontext.task import Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        SemNIAH(),
        Chain(),
        Count(),
        Argmax(),
        Compare(),
        CountByUser(),
        CountByDate(),
        SemPairs(),
        TruePairs(),
        StateLog(),
    )
}
