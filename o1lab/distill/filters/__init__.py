"""Problem filters: named, versioned rules that say why a problem should not be distilled. Nothing is ever deleted."""

from o1lab.distill.filters.rule import RULES, AnyRule, Finding, Pool, PoolRule, Rule, pool_rule, rule

__all__ = ["RULES", "AnyRule", "Finding", "Pool", "PoolRule", "Rule", "pool_rule", "rule"]
