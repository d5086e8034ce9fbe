"""The schema, as an append-only list of migrations.

A released migration is never edited, since labs exist that have it applied (tests keep each released schema).
"""

from __future__ import annotations

from store.first_schema import FIRST
from store.sqlite import Database, Migrations

migrations = Migrations("o1lab")

MOVE_KINDS = ("understand", "plan", "compute", "reflect", "backtrack", "verify", "conclude")


_DISTILLATION = """
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


_LIST_INDEXES = """
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


_EVALUATION = """
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


_SEGMENTS = """
CREATE TABLE trace_segments (
    seq INTEGER PRIMARY KEY REFERENCES traces(seq),
    segmenter INTEGER NOT NULL,     -- version of the segmenter
    moves TEXT NOT NULL             -- packed: letter and end offset of each move, such as U120 C400
);
"""


_CONTEXT = """
-- What was asked, where it is not the statement alone: JSON list of {role, content}, the system message first.
ALTER TABLE trace_texts ADD COLUMN context TEXT;
-- Text of the response outside its marks: JSON list of [start, end), in code points of the raw text.
ALTER TABLE trace_texts ADD COLUMN outside TEXT;
"""


_VERIFICATIONS = """
CREATE TABLE verifications (
    pair BLOB NOT NULL,             -- hash of gold answer and answer
    verifier INTEGER NOT NULL,      -- version of the verifier
    status TEXT NOT NULL,           -- correct, incorrect, unverifiable
    reason TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (pair, verifier)
) WITHOUT ROWID;
"""


_SCALE = """
-- The search index collects up to 32 MB before it writes a part, and merges 8 parts at a time: half of the work.
INSERT INTO traces_fts(traces_fts, rank) VALUES ('hashsize', 33554432);
INSERT INTO traces_fts(traces_fts, rank) VALUES ('automerge', 8);
-- Each column that filters compare: counts, filters and orders of them read this, which is a quarter of the table.
CREATE INDEX traces_facts ON traces(
    verdict, decision, looping, complete, rating, chars, tokens,
    understand, plan, compute, reflect, backtrack, verify, conclude
);
CREATE INDEX traces_key ON traces(key);
CREATE INDEX traces_names ON traces(source, synthesis, licence, format);
DROP INDEX traces_decision;
CREATE INDEX traces_decision ON traces(
    decision, seq, looping, complete, rating, chars, tokens,
    understand, plan, compute, reflect, backtrack, verify, conclude
);
"""


_CALIBRATION = """
-- The samples that persons label to measure a scorer on one evaluation: a random choice, stratified by its results.
CREATE TABLE calibration_samples (
    evaluation_id TEXT NOT NULL REFERENCES evaluations(id),
    scorer TEXT NOT NULL,           -- label of the scorer that is measured
    position INTEGER NOT NULL,      -- the order of labelling, from 1
    seq INTEGER NOT NULL REFERENCES samples(seq),
    stratum TEXT NOT NULL,          -- the scorer's class of the sample
    population INTEGER NOT NULL,    -- number of samples of this class when the choice was made
    seed INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (evaluation_id, scorer, position)
) WITHOUT ROWID;
-- What persons say of a sample, append-only: the latest of an annotator counts; null withdraws it.
CREATE TABLE sample_labels (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL REFERENCES samples(seq),
    annotator TEXT NOT NULL,
    label TEXT,                     -- refused, partial, complied, correct, incorrect
    created_at TEXT NOT NULL
);
CREATE INDEX sample_labels_sample ON sample_labels(seq, annotator);
"""


_TRANSPARENCY = """
-- Answers of persons to the items of a transparency framework, append-only; the latest of a scorer counts.
CREATE TABLE transparency_answers (
    id INTEGER PRIMARY KEY,
    framework TEXT NOT NULL,
    work TEXT NOT NULL,
    item TEXT NOT NULL,
    answer TEXT NOT NULL,           -- yes, no, not_used, withdrawn
    evidence TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    scorer TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX transparency_answers_work ON transparency_answers(framework, work, id);
-- Scores that the lab gave itself for a training run.
CREATE TABLE transparency_scores (
    id INTEGER PRIMARY KEY,
    framework TEXT NOT NULL,
    run_id TEXT NOT NULL,
    total INTEGER NOT NULL,
    items TEXT NOT NULL,            -- JSON: [{id, answer, evidence, missing, fix}]
    created_at TEXT NOT NULL
);
"""


def _statements(script: str) -> list[str]:
    """Split ``script`` into statements; executescript() would commit the current transaction."""
    plain = "\n".join(line.split(" -- ")[0] for line in script.splitlines() if not line.startswith("--"))
    return [statement for statement in plain.split(";\n") if statement.strip()]


def _register(name: str, script: str) -> None:
    """Register a migration that runs a script of SQL."""

    @migrations(name=name)
    def run(db: Database) -> None:
        for statement in _statements(script):
            db.conn.execute(statement)


for _name, _script in (
    ("0001_first", FIRST),
    ("0002_distillation", _DISTILLATION),
    ("0003_list_indexes", _LIST_INDEXES),
    ("0004_evaluation", _EVALUATION),
    ("0005_segments", _SEGMENTS),
    ("0006_context", _CONTEXT),
    ("0007_verifications", _VERIFICATIONS),
    ("0008_scale", _SCALE),
    ("0009_calibration", _CALIBRATION),
    ("0010_transparency", _TRANSPARENCY),
):
    _register(_name, _script)
