"""The schemas released as migrations ``0002`` to ``0004``. They are never edited."""

DISTILLATION = """
-- Findings of rules on problems: one row per rule that excludes a problem, with the rule's version.
CREATE TABLE exclusions (
    problem_id TEXT NOT NULL REFERENCES problems(id),
    rule TEXT NOT NULL,
    version INTEGER NOT NULL,
    reason TEXT NOT NULL,
    twin TEXT,                      -- of a duplicate or contaminated problem: the problem it resembles
    created_at TEXT NOT NULL,
    PRIMARY KEY (problem_id, rule)
) WITHOUT ROWID;
CREATE INDEX exclusions_rule ON exclusions(rule);
CREATE TABLE rule_runs (
    rule TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    looked INTEGER NOT NULL,
    excluded INTEGER NOT NULL,
    ran_at TEXT NOT NULL
);
-- Rulings of persons, append-only; the latest overrides the rules. problems.excluded_by is derived from both.
CREATE TABLE rulings (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    problem_id TEXT NOT NULL REFERENCES problems(id),
    ruling TEXT NOT NULL,           -- keep, exclude, or none: the rules decide again
    note TEXT NOT NULL DEFAULT '',
    annotator TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX rulings_problem ON rulings(problem_id);
CREATE INDEX problems_excluded ON problems(excluded_by);
-- A problem's translation is found by the original's id, which is its key in its source.
CREATE INDEX problem_sources_key ON problem_sources(source, key);

CREATE TABLE teacher_runs (
    id TEXT PRIMARY KEY,
    dir TEXT NOT NULL,              -- LAB/distill/ID; its journal records what was paid for
    method TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt TEXT NOT NULL,           -- name@version
    settings TEXT NOT NULL,
    created_at TEXT NOT NULL
);
-- One row per finished (item, sample) pair: its conversation with the teacher is over and its outcome is known.
CREATE TABLE responses (
    run_id TEXT NOT NULL REFERENCES teacher_runs(id),
    item TEXT NOT NULL,             -- the id of the problem, or of the trace that is rewritten
    sample INTEGER NOT NULL,
    state TEXT NOT NULL,            -- kept, rejected, failed
    reason TEXT NOT NULL DEFAULT '',
    trace_id TEXT REFERENCES traces(id),
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cost_usd REAL NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    PRIMARY KEY (run_id, item, sample)
) WITHOUT ROWID;
CREATE INDEX responses_trace ON responses(trace_id);

-- How a dataset's rows were chosen from the traces of its query, and which were dropped for which reason.
ALTER TABLE datasets ADD COLUMN selection TEXT NOT NULL DEFAULT '{}';
CREATE TABLE dataset_drops (
    name TEXT NOT NULL REFERENCES datasets(name),
    trace_id TEXT NOT NULL REFERENCES traces(id),
    reason TEXT NOT NULL,
    PRIMARY KEY (name, trace_id)
) WITHOUT ROWID;
"""


LIST_INDEXES = """
-- One index per order of the list, over exactly the expression it sorts by: any page is read without sorting.
CREATE INDEX traces_by_verdict ON traces(coalesce(verdict, ''));
CREATE INDEX traces_by_decision ON traces(coalesce(decision, ''));
CREATE INDEX traces_by_rating ON traces(coalesce(rating, -1));
CREATE INDEX traces_by_tokens ON traces(coalesce(tokens, -1));
CREATE INDEX traces_by_understand ON traces(coalesce(understand, -1));
CREATE INDEX traces_by_plan ON traces(coalesce(plan, -1));
CREATE INDEX traces_by_compute ON traces(coalesce(compute, -1));
CREATE INDEX traces_by_reflect ON traces(coalesce(reflect, -1));
CREATE INDEX traces_by_backtrack ON traces(coalesce(backtrack, -1));
CREATE INDEX traces_by_verify ON traces(coalesce(verify, -1));
CREATE INDEX traces_by_conclude ON traces(coalesce(conclude, -1));
-- For the pace: the recent decisions of one annotator, without batches.
CREATE INDEX annotations_pace ON annotations(annotator, created_at) WHERE kind = 'decision' AND batch IS NULL;
"""


EVALUATION = """
-- One model on one suite with one sampling; the folder LAB/evals/ID has the settings.
CREATE TABLE evaluations (
    id TEXT PRIMARY KEY,
    dir TEXT NOT NULL,
    suite TEXT NOT NULL,
    suite_version INTEGER NOT NULL,
    items_hash TEXT NOT NULL,       -- of the items and how they are asked: equal hashes can be compared by item
    family TEXT NOT NULL,           -- mathematics, safety, factuality, sycophancy, hallucination, general
    model TEXT NOT NULL,            -- a model reference of the registry
    role TEXT NOT NULL,             -- base, student, teacher, judge, other
    revision TEXT NOT NULL,         -- identifies the weights: a checkpoint's hash, a hub revision, a server's report
    sampling TEXT NOT NULL,
    settings TEXT NOT NULL,
    items INTEGER NOT NULL,
    samples INTEGER NOT NULL,       -- of each item
    scorer TEXT NOT NULL,           -- the label, name@version, of the scores shown unless another is asked for
    created_at TEXT NOT NULL,
    metric TEXT NOT NULL DEFAULT 'accuracy'  -- the headline metric of the suite: accuracy or mean_value
);
CREATE INDEX evaluations_suite ON evaluations(suite, suite_version);
CREATE TABLE evaluation_items (
    evaluation_id TEXT NOT NULL REFERENCES evaluations(id),
    item TEXT NOT NULL,             -- the item's id in its suite
    position INTEGER NOT NULL,
    question TEXT NOT NULL,         -- the first user message
    gold TEXT NOT NULL,             -- JSON: the accepted answers
    grp TEXT,                       -- shared by items that ask one question in several ways
    variant TEXT,                   -- which of these ways
    meta TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (evaluation_id, item)
) WITHOUT ROWID;
CREATE UNIQUE INDEX evaluation_items_order ON evaluation_items(evaluation_id, position);

-- Small columns only: lists and figures over 100,000 samples read this table and scores alone.
CREATE TABLE samples (
    seq INTEGER PRIMARY KEY,        -- rowid of the texts, and what scores, ratings and judgements refer to
    evaluation_id TEXT NOT NULL REFERENCES evaluations(id),
    item TEXT NOT NULL,
    sample INTEGER NOT NULL,
    state TEXT NOT NULL,            -- complete, incomplete (cut off), failed
    reason TEXT NOT NULL DEFAULT '',
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    thought_tokens INTEGER,         -- null: not known
    estimated INTEGER NOT NULL DEFAULT 0,   -- whether the counts are ours and not the server's
    cost_usd REAL NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,
    cached INTEGER NOT NULL DEFAULT 0,      -- whether it was taken from an earlier evaluation
    cache_key TEXT NOT NULL,        -- hash of everything that determines a response
    trace_id TEXT REFERENCES traces(id),    -- once a person has labelled it
    created_at TEXT NOT NULL,
    UNIQUE (evaluation_id, item, sample)
);
CREATE INDEX samples_cache ON samples(cache_key);
CREATE INDEX samples_longest ON samples(evaluation_id, output_tokens DESC, seq);
CREATE TABLE sample_texts (
    seq INTEGER PRIMARY KEY REFERENCES samples(seq),
    turns TEXT NOT NULL,            -- JSON: [{user, thought, answer}], each turn of the conversation
    meta TEXT NOT NULL DEFAULT '{}'
);
-- The score of a sample. Scores of other scorers, or other versions of a scorer, are kept too.
CREATE TABLE scores (
    seq INTEGER NOT NULL REFERENCES samples(seq),
    scorer TEXT NOT NULL,           -- name@version, and for a judge its prompt and model
    outcome TEXT NOT NULL,          -- correct, incorrect, unextracted, unscored
    value REAL,                     -- 0 to 1, where the scorer grades
    answer TEXT,                    -- the final answer it found
    reason TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    PRIMARY KEY (seq, scorer)
) WITHOUT ROWID;
-- Marks of persons from 0 to 100, append-only: the latest of an annotator counts; null withdraws it.
CREATE TABLE ratings (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL REFERENCES samples(seq),
    annotator TEXT NOT NULL,
    value REAL,
    note TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL
);
CREATE INDEX ratings_sample ON ratings(seq, annotator);
"""
