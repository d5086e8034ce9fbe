"""Problem filters: named, versioned rules that give a reason to exclude a problem. Nothing is deleted."""

from o1lab.distill.filters.rule import RULES, AnyRule, Finding, Pool, PoolRule, Rule, pool_rule, rule

__all__ = ["RULES", "AnyRule", "Finding", "Pool", "PoolRule", "Rule", "pool_rule", "rule"]
