"""Problem filters: named, versioned rules that say why a problem should not be distilled. Nothing is ever deleted."""

from o1lab.distill.filters.answers import NO_ANSWER, NOT_NUMERICAL
from o1lab.distill.filters.benchmarks import CONTAMINATED, ContaminatedRule
from o1lab.distill.filters.duplicates import DUPLICATE, DuplicateRule
from o1lab.distill.filters.image import IMAGE
from o1lab.distill.filters.rule import Finding, Rule
from o1lab.distill.filters.wording import MULTIPLE_CHOICE, PROOF, SEVERAL_PARTS

AnyRule = Rule | DuplicateRule | ContaminatedRule

RULES: dict[str, AnyRule] = {
    rule.name: rule
    for rule in (
        IMAGE,
        PROOF,
        NO_ANSWER,
        NOT_NUMERICAL,
        SEVERAL_PARTS,
        MULTIPLE_CHOICE,
        DUPLICATE,
        CONTAMINATED,
    )
}

__all__ = ["RULES", "AnyRule", "ContaminatedRule", "DuplicateRule", "Finding", "Rule"]
