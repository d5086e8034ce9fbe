"""Migrations of what models wrote inside of chains."""

from __future__ import annotations

FORCED = """
-- Answers that models gave when a thought was cut and closed.
CREATE TABLE forced_answers (
    chain TEXT NOT NULL,            -- hash of what was asked and of the whole thought
    model TEXT NOT NULL,            -- hash of weights, template and system prompt
    how TEXT NOT NULL,              -- JSON: the text after the cut thought, the limit of tokens
    position INTEGER NOT NULL,      -- where the thought is cut, in code points
    name TEXT NOT NULL,             -- of the model in the lab, when it answered
    tokens INTEGER,                 -- of the prompt up to the answer, as the server counts them
    reply TEXT NOT NULL,
    answer TEXT,                    -- null: the reply has none
    created_at TEXT NOT NULL,
    PRIMARY KEY (chain, model, how, position)
) WITHOUT ROWID;
-- The evaluations whose samples were cut, and the model that answered.
CREATE TABLE forced_evaluations (
    evaluation_id TEXT NOT NULL REFERENCES evaluations(id),
    model TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (evaluation_id, model)
) WITHOUT ROWID;
"""


ROLLOUTS = """
-- Endings of thoughts that models wrote from a place of a chain on.
CREATE TABLE rollouts (
    chain TEXT NOT NULL,            -- as in forced_answers
    model TEXT NOT NULL,
    how TEXT NOT NULL,              -- JSON of the sampling
    position INTEGER NOT NULL,      -- in code points of the thought
    sample INTEGER NOT NULL,        -- its number at this place, from 0
    name TEXT NOT NULL,
    reply TEXT NOT NULL,
    answer TEXT,                    -- null: the reply has none
    created_at TEXT NOT NULL,
    PRIMARY KEY (chain, model, how, position, sample)
) WITHOUT ROWID;
"""


DROPPED_TOKENS = """
-- Generated and paid for, but not in the response: answers left out by budget forcing.
ALTER TABLE samples ADD COLUMN dropped_tokens INTEGER NOT NULL DEFAULT 0;
"""
