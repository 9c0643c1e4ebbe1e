"""A study: one TOML file that says data, reducers, dynamics, forecast and report.

    data -> fit each (reducer, k) -> compare -> dynamics -> forecast -> report

Every step has a key, the hash of what it depends on,

    key = sha256(settings of the step, keys of the steps before it),

which is written when the step is finished. A step whose key is found is skipped: a
second run does nothing, a changed setting redoes only what depends on it, and a run that
was killed goes on where it was, in the middle of a training too.
"""

from romae.study.config import Study, read_study
from romae.study.run import Outcome, list_steps, run_study
from romae.study.sweeping import sweep

__all__ = ["Outcome", "Study", "list_steps", "read_study", "run_study", "sweep"]
