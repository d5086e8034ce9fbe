"""Migrations of conversations and votes, and of what models wrote inside chains."""

from __future__ import annotations

VOTES = """
-- JSON, in the order of the candidates: {pane, system, temperature, top_p, max_tokens}, what each was asked with. Empty
-- in votes of earlier versions: the answers have it.
ALTER TABLE votes ADD COLUMN contestants TEXT NOT NULL DEFAULT '[]';
ALTER TABLE votes ADD COLUMN winner_pane INTEGER;
ALTER TABLE votes ADD COLUMN withdrawn_at TEXT;
-- The prompt set asked in the background that a conversation belongs to.
ALTER TABLE conversations ADD COLUMN round TEXT;
CREATE INDEX conversations_round ON conversations(round) WHERE round IS NOT NULL;
CREATE TABLE prompt_tags (
    prompt TEXT NOT NULL,           -- the id that a problem with this text has
    tag TEXT NOT NULL,
    PRIMARY KEY (prompt, tag)
) WITHOUT ROWID;
"""


BRANCHES = """
-- Conversations are trees: each question has a turn of its own, and the answers of a pane to one question are versions.
-- Of an answer: the text as it was written, with its think marks; and JSON: [start, end, model or person, name].
ALTER TABLE messages ADD COLUMN raw TEXT;
ALTER TABLE messages ADD COLUMN spans TEXT NOT NULL DEFAULT '[]';
-- Of a question: the turn that it follows, null is the turn before; and JSON: the ids of the answers that it follows.
ALTER TABLE messages ADD COLUMN parent INTEGER;
ALTER TABLE messages ADD COLUMN follows TEXT NOT NULL DEFAULT '[]';
-- Of the versions of an answer, the one that is shown.
ALTER TABLE messages ADD COLUMN shown INTEGER NOT NULL DEFAULT 1;
-- The last turn of the branch that is shown; null is the latest question's.
ALTER TABLE conversations ADD COLUMN head INTEGER;
-- The tokens that an answer was written in, for a model that goes on from one of their boundaries.
CREATE TABLE message_tokens (
    message_id TEXT PRIMARY KEY REFERENCES messages(id),
    model TEXT NOT NULL,            -- a model reference of the registry
    tokens BLOB NOT NULL            -- compressed JSON: the ids, and the offset in raw at which each ends
) WITHOUT ROWID;
UPDATE messages SET shown = 0, state = CASE json_extract(settings, '$.finish_reason')
    WHEN 'stopped' THEN 'stopped' WHEN 'failed' THEN 'failed' ELSE 'complete' END WHERE state = 'replaced';
UPDATE messages SET parent = turn - 1, follows = (SELECT json_group_array(a.id) FROM messages a
    WHERE a.conversation_id = messages.conversation_id AND a.turn = messages.turn - 1 AND a.pane IS NOT NULL
        AND a.shown) WHERE pane IS NULL;
"""


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
