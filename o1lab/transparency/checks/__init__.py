"""The checks behind the score that a lab gives itself: one function for each item of the built-in framework.

A check reads the database and the job directories. It answers yes with evidence that a reader can open, no with what is
missing and the command that supplies it, or that a person must judge. Public availability is always for a person.
"""

from o1lab.transparency.checks import data, evaluation, methodology
from o1lab.transparency.checks.finding import CHECKS, Check, Finding

__all__ = ["CHECKS", "Check", "Finding", "data", "evaluation", "methodology"]
