"""The schema, as an append-only list of migrations.

A released migration is never edited, since labs exist that have it applied (tests keep each released schema).
"""

from __future__ import annotations

from store.sqlite import Database, Migrations

migrations = Migrations("o1lab")

MOVE_KINDS = ("understand", "plan", "compute", "reflect", "backtrack", "verify", "conclude")

_FIRST = """
CREATE TABLE problems (
    id TEXT PRIMARY KEY,            -- hash of the normalised statement
    statement TEXT NOT NULL,
    answer TEXT,                    -- gold; null when none is known
    solution TEXT,                  -- a reference solution, when the source has one
    excluded_by TEXT,
    created_at TEXT NOT NULL
);
CREATE TABLE problem_sources (
    problem_id TEXT NOT NULL REFERENCES problems(id),
    source TEXT NOT NULL,
    key TEXT NOT NULL,              -- the row's own id there
    licence TEXT,
    meta TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (problem_id, source, key)
) WITHOUT ROWID;
CREATE INDEX problem_sources_source ON problem_sources(source);

-- Small columns only: lists and filters over 100,000 traces read this table alone.
CREATE TABLE traces (
    seq INTEGER PRIMARY KEY,        -- rowid of the texts and of the search index
    id TEXT NOT NULL UNIQUE,        -- hash of problem, model and raw text
    problem_id TEXT NOT NULL REFERENCES problems(id),
    model TEXT NOT NULL,
    source TEXT NOT NULL,
    key TEXT NOT NULL DEFAULT '',
    licence TEXT,
    synthesis TEXT NOT NULL DEFAULT 'unknown',
    format TEXT NOT NULL,
    parent_id TEXT,
    complete INTEGER NOT NULL,
    chars INTEGER NOT NULL,         -- of the raw text, in code points
    tokens INTEGER,                 -- by the tokenizer of the model that wrote it; null when unknown
    looping INTEGER,
    answer TEXT,
    verdict TEXT,                   -- correct, incorrect, unverifiable; null: not verified yet
    verdict_reason TEXT,
    understand INTEGER, plan INTEGER, compute INTEGER, reflect INTEGER,
    backtrack INTEGER, verify INTEGER, conclude INTEGER,
    measured_by TEXT,               -- version of the measures; null: not measured yet
    decision TEXT,                  -- derived from the annotations, as are rating and trace_tags
    rating INTEGER,
    created_at TEXT NOT NULL
);
CREATE INDEX traces_problem ON traces(problem_id);
CREATE INDEX traces_decision ON traces(decision);
CREATE INDEX traces_verdict ON traces(verdict);
CREATE INDEX traces_model ON traces(model);
CREATE INDEX traces_chars ON traces(chars);
CREATE INDEX traces_unmeasured ON traces(seq) WHERE measured_by IS NULL;
CREATE TABLE trace_texts (
    seq INTEGER PRIMARY KEY REFERENCES traces(seq),
    thought_start INTEGER NOT NULL, thought_end INTEGER NOT NULL,   -- code points in the raw text
    solution_start INTEGER NOT NULL, solution_end INTEGER NOT NULL,
    meta TEXT NOT NULL DEFAULT '{}',
    raw BLOB NOT NULL               -- UTF-8 with surrogates passed: the response byte for byte
);
-- Contentless: the texts are in trace_texts; CJK is indexed character by character (see store.search).
CREATE VIRTUAL TABLE traces_fts USING fts5(
    statement, thought, solution, content='', tokenize='unicode61 remove_diacritics 2'
);

CREATE TABLE annotations (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    trace_id TEXT NOT NULL REFERENCES traces(id),
    kind TEXT NOT NULL,             -- decision, rating, tag, untag, note, span, edit, undo
    value TEXT NOT NULL,
    span_start INTEGER, span_end INTEGER,   -- code points in the thought
    target TEXT,                    -- of an undo: the annotation it takes back
    batch TEXT,                     -- a decision on many traces at once is undone at once
    annotator TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX annotations_trace ON annotations(trace_id);
CREATE INDEX annotations_target ON annotations(target);
CREATE INDEX annotations_batch ON annotations(batch);
CREATE INDEX annotations_created ON annotations(created_at);
CREATE TABLE trace_tags (
    trace_id TEXT NOT NULL REFERENCES traces(id),
    tag TEXT NOT NULL,
    PRIMARY KEY (trace_id, tag)
) WITHOUT ROWID;
CREATE INDEX trace_tags_tag ON trace_tags(tag);

CREATE TABLE datasets (
    name TEXT PRIMARY KEY,
    hash TEXT NOT NULL,             -- of the rows' content
    phase INTEGER NOT NULL,
    query TEXT NOT NULL,
    rows INTEGER NOT NULL,
    tokens INTEGER,
    created_at TEXT NOT NULL
);
CREATE TABLE dataset_rows (
    name TEXT NOT NULL REFERENCES datasets(name),
    position INTEGER NOT NULL,
    trace_id TEXT NOT NULL REFERENCES traces(id),
    PRIMARY KEY (name, position)
) WITHOUT ROWID;
CREATE INDEX dataset_rows_trace ON dataset_rows(trace_id);

CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    dir TEXT NOT NULL,              -- the run directory, which holds the state of the run
    base TEXT NOT NULL,
    dataset TEXT NOT NULL,
    dataset_hash TEXT NOT NULL,
    init_from TEXT,
    created_at TEXT NOT NULL
);

CREATE TABLE conversations (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    settings TEXT NOT NULL,         -- sampling, system prompt, blind
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE TABLE panes (
    conversation_id TEXT NOT NULL REFERENCES conversations(id),
    position INTEGER NOT NULL,
    model TEXT NOT NULL,            -- a model reference of the registry
    label TEXT NOT NULL,
    PRIMARY KEY (conversation_id, position)
) WITHOUT ROWID;
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    conversation_id TEXT NOT NULL REFERENCES conversations(id),
    turn INTEGER NOT NULL,
    pane INTEGER,                   -- null: the user's message, sent to all panes
    role TEXT NOT NULL,
    state TEXT NOT NULL,            -- complete, stopped, failed, replaced
    thought TEXT NOT NULL DEFAULT '',
    content TEXT NOT NULL,
    error TEXT,
    verdict TEXT,
    prompt_tokens INTEGER, output_tokens INTEGER, thought_tokens INTEGER,
    ttft_s REAL, seconds REAL,
    settings TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL
);
CREATE INDEX messages_conversation ON messages(conversation_id, turn);
CREATE TABLE votes (
    id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL REFERENCES conversations(id),
    turn INTEGER NOT NULL,
    winner TEXT NOT NULL,           -- a model reference, or tie, or none
    candidates TEXT NOT NULL,       -- the model references in the order shown
    blind INTEGER NOT NULL,
    annotator TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE prompt_sets (
    name TEXT PRIMARY KEY,
    prompts TEXT NOT NULL,
    created_at TEXT NOT NULL
);
"""


@migrations(name="0001_first")
def _first(db: Database) -> None:
    for statement in _statements(_FIRST):
        db.conn.execute(statement)


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


@migrations(name="0002_distillation")
def _distillation(db: Database) -> None:
    for statement in _statements(_DISTILLATION):
        db.conn.execute(statement)


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


@migrations(name="0003_list_indexes")
def _list_indexes(db: Database) -> None:
    for statement in _statements(_LIST_INDEXES):
        db.conn.execute(statement)


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


@migrations(name="0004_evaluation")
def _evaluation(db: Database) -> None:
    for statement in _statements(_EVALUATION):
        db.conn.execute(statement)


_SEGMENTS = """
CREATE TABLE trace_segments (
    seq INTEGER PRIMARY KEY REFERENCES traces(seq),
    segmenter INTEGER NOT NULL,     -- version of the segmenter
    moves TEXT NOT NULL             -- packed: letter and end offset of each move, such as U120 C400
);
"""


@migrations(name="0005_segments")
def _segments(db: Database) -> None:
    for statement in _statements(_SEGMENTS):
        db.conn.execute(statement)


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


@migrations(name="0007_verifications")
def _verifications(db: Database) -> None:
    for statement in _statements(_VERIFICATIONS):
        db.conn.execute(statement)


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


@migrations(name="0009_calibration")
def _calibration(db: Database) -> None:
    for statement in _statements(_CALIBRATION):
        db.conn.execute(statement)


def _statements(script: str) -> list[str]:
    """Split ``script`` into statements; executescript() would commit the current transaction."""
    plain = "\n".join(line.split(" -- ")[0] for line in script.splitlines() if not line.startswith("--"))
    return [statement for statement in plain.split(";\n") if statement.strip()]
