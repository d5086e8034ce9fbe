"""The schema, as an append-only list of migrations.

A released migration is never edited, since labs exist that have it applied (tests keep each released schema).
"""

from __future__ import annotations

import json
import zlib

from store.schema.early import DISTILLATION, EVALUATION, LIST_INDEXES
from store.schema.first import FIRST
from store.schema.later import BRANCHES, DROPPED_TOKENS, FORCED, ROLLOUTS, VOTES
from store.sqlite import Database, Migrations
from store.suitability import mean_loss, rank_surprisal_ratio

migrations = Migrations("o1lab")

MOVE_KINDS = ("understand", "plan", "compute", "reflect", "backtrack", "verify", "conclude")


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


_IMPORTS = """
-- One row per file of an import, so that another lab can repeat it.
CREATE TABLE imports (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,             -- the home folder is written as ~
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    options TEXT NOT NULL,          -- JSON: the options that were given
    counts TEXT NOT NULL,           -- JSON: format, rows, added, duplicates, rejected
    created_at TEXT NOT NULL
);
"""


_WRONG_STEPS = """
-- The teacher run whose judge made an annotation; null: a person made it.
ALTER TABLE annotations ADD COLUMN run_id TEXT;
-- The latest verdict of each annotator on the steps of a trace, derived from the annotations.
CREATE TABLE wrong_steps (
    trace_id TEXT NOT NULL REFERENCES traces(id),
    annotator TEXT NOT NULL,
    run_id TEXT,                    -- of a judge; null: a person
    step INTEGER NOT NULL,          -- number of the first wrong move, from 1; 0: no move is wrong
    span_start INTEGER, span_end INTEGER,   -- the move, in code points of the thought
    PRIMARY KEY (trace_id, annotator)
) WITHOUT ROWID;
"""


_TREES = """
-- Search trees, kept whole: chains are made from them by rules.
CREATE TABLE trees (
    id TEXT PRIMARY KEY,            -- hash of the problem and the nodes
    problem_id TEXT NOT NULL REFERENCES problems(id),
    model TEXT NOT NULL,            -- what searched
    source TEXT NOT NULL,
    key TEXT NOT NULL DEFAULT '',
    licence TEXT,
    nodes INTEGER NOT NULL,
    leaves INTEGER NOT NULL,
    correct_leaves INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    tree TEXT NOT NULL,             -- JSON: the list of nodes
    created_at TEXT NOT NULL
);
CREATE INDEX trees_problem ON trees(problem_id);
-- The walk through a tree that a trace was made from.
CREATE TABLE tree_walks (
    trace_id TEXT PRIMARY KEY REFERENCES traces(id),
    tree_id TEXT NOT NULL REFERENCES trees(id),
    rules TEXT NOT NULL,            -- JSON
    visited TEXT NOT NULL,          -- JSON: the ids of the nodes in the order of the walk
    reflections TEXT NOT NULL,      -- JSON: [start, end] of each in the raw text, in code points
    written_by TEXT                 -- the model that wrote the reflections; null: they are a plain sentence
) WITHOUT ROWID;
CREATE INDEX tree_walks_tree ON tree_walks(tree_id);
"""


_LABELS = """
-- The labels of spans that the lab offers. Its digit gives a label while moves are selected in the reader.
CREATE TABLE labels (
    name TEXT PRIMARY KEY,
    colour TEXT NOT NULL,           -- one of the colours of a terminal
    digit INTEGER UNIQUE            -- 1 to 9; null: no key gives it
) WITHOUT ROWID;
INSERT INTO labels(name, colour, digit) VALUES
    ('slip', 'red', 1), ('wrong turn', 'magenta', 2), ('gap', 'yellow', 3),
    ('key idea', 'green', 4), ('good check', 'cyan', 5), ('repetition', 'blue', 6);
-- Earlier names of renamed labels: an annotation keeps the name that it was written with.
CREATE TABLE label_names (
    earlier TEXT PRIMARY KEY,
    name TEXT NOT NULL
) WITHOUT ROWID;
-- For filters by what persons wrote on traces.
CREATE INDEX annotations_spans ON annotations(value, trace_id) WHERE kind = 'span';
CREATE INDEX annotations_notes ON annotations(trace_id) WHERE kind = 'note';
CREATE INDEX annotations_moves ON annotations(trace_id) WHERE kind = 'move';
CREATE INDEX annotations_by ON annotations(annotator, trace_id);
"""


_ANNOTATORS = """
-- The latest decision and rating of each person on a trace, derived from the annotations. traces.decision and
-- traces.rating are what they come to under the policy.
CREATE TABLE decisions (
    seq INTEGER NOT NULL REFERENCES traces(seq),
    annotator TEXT NOT NULL,
    decision TEXT,                  -- null: the person only rated it
    rating INTEGER,
    PRIMARY KEY (seq, annotator)
) WITHOUT ROWID;
CREATE INDEX decisions_annotator ON decisions(annotator, decision, seq);
CREATE TABLE adjudications (
    seq INTEGER PRIMARY KEY REFERENCES traces(seq),
    decision TEXT                   -- null: adjudications of two labs differ
);
CREATE TABLE decision_policy (policy TEXT NOT NULL);
INSERT INTO decision_policy(policy) VALUES ('majority');
CREATE TABLE assignments (
    seq INTEGER NOT NULL REFERENCES traces(seq),
    annotator TEXT NOT NULL,
    PRIMARY KEY (seq, annotator)
) WITHOUT ROWID;
CREATE INDEX assignments_annotator ON assignments(annotator, seq);
-- Which decisions counted when a dataset was made: JSON {policy, annotators, annotator}.
ALTER TABLE datasets ADD COLUMN decided TEXT;
-- With max(), the other columns are those of the latest record.
INSERT INTO decisions(seq, annotator, decision)
    SELECT t.seq, a.annotator, a.value FROM (
        SELECT trace_id, annotator, value, max(seq) FROM annotations a WHERE kind = 'decision' AND NOT EXISTS
            (SELECT 1 FROM annotations u WHERE u.kind = 'undo' AND u.target IN (a.id, a.batch))
        GROUP BY trace_id, annotator) a JOIN traces t ON t.id = a.trace_id;
INSERT INTO decisions(seq, annotator, rating)
    SELECT t.seq, a.annotator, CAST(a.value AS INTEGER) FROM (
        SELECT trace_id, annotator, value, max(seq) FROM annotations a WHERE kind = 'rating' AND NOT EXISTS
            (SELECT 1 FROM annotations u WHERE u.kind = 'undo' AND u.target IN (a.id, a.batch))
        GROUP BY trace_id, annotator) a JOIN traces t ON t.id = a.trace_id WHERE true
    ON CONFLICT (seq, annotator) DO UPDATE SET rating = excluded.rating;
UPDATE traces SET rating = (SELECT avg(d.rating) FROM decisions d WHERE d.seq = traces.seq),
    decision = coalesce(
        (SELECT d.decision FROM decisions d WHERE d.seq = traces.seq AND d.decision != 'skip' GROUP BY d.decision
            HAVING 2 * count(*) > (SELECT count(*) FROM decisions e WHERE e.seq = traces.seq AND e.decision != 'skip')),
        CASE WHEN NOT EXISTS (SELECT 1 FROM decisions d WHERE d.seq = traces.seq AND d.decision != 'skip')
            THEN (SELECT 'skip' FROM decisions d WHERE d.seq = traces.seq AND d.decision = 'skip' LIMIT 1) END)
    WHERE seq IN (SELECT seq FROM decisions GROUP BY seq HAVING count(*) > 1);
"""


_LENS = """
-- How likely models find the tokens of traces.
CREATE TABLE token_scores (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL REFERENCES traces(seq),
    model TEXT NOT NULL,            -- hash of weights and template
    name TEXT NOT NULL,             -- of the model in the lab, when it scored the trace
    losses TEXT NOT NULL,           -- JSON: part -> [tokens, mean negative log-probability in nats]
    tokens BLOB NOT NULL,           -- compressed JSON: a list for each figure, an entry for each token
    created_at TEXT NOT NULL,
    UNIQUE (seq, model)
);
"""


_PAIRS = """
-- sft (single answers) or pairs
ALTER TABLE datasets ADD COLUMN kind TEXT NOT NULL DEFAULT 'sft';
-- The worse answer to the same question; trace_id is the better one. Null in a dataset of kind sft.
ALTER TABLE dataset_rows ADD COLUMN rejected_id TEXT REFERENCES traces(id);
-- The traces of the rows, both of a pair.
CREATE VIEW dataset_traces(name, position, trace_id) AS
    SELECT name, position, trace_id FROM dataset_rows
    UNION ALL SELECT name, position, rejected_id FROM dataset_rows WHERE rejected_id IS NOT NULL;
"""


_SAMPLE_MOVES = """
-- The moves of the texts of samples, counted once by each version of the segmenter.
CREATE TABLE sample_moves (
    seq INTEGER PRIMARY KEY REFERENCES samples(seq),
    segmenter INTEGER NOT NULL,     -- version of the segmenter
    read TEXT NOT NULL,             -- thought, answer or both: the texts that were segmented
    tokens REAL,                    -- of these texts; null: not known
    understand INTEGER NOT NULL, plan INTEGER NOT NULL, compute INTEGER NOT NULL, reflect INTEGER NOT NULL,
    backtrack INTEGER NOT NULL, verify INTEGER NOT NULL, conclude INTEGER NOT NULL,
    created_at TEXT NOT NULL
);
"""


_LABELLED = """
-- The classifier that last looked at the chain; null: none yet, the kinds are those of the rules.
ALTER TABLE trace_segments ADD COLUMN labeller TEXT;
-- Who gave the kinds: model, rules (the classifier does not know the language), writer (who wrote the chain).
ALTER TABLE trace_segments ADD COLUMN kinds_by TEXT NOT NULL DEFAULT 'rules';
-- The moves of the rules, once a classifier's are in their place: what is compared with texts that only rules segment.
ALTER TABLE trace_segments ADD COLUMN rule_moves TEXT;
CREATE INDEX trace_segments_labelled ON trace_segments(kinds_by, labeller);
"""


_SUITABILITY = """
-- How suitable a trace is for the model, see store/suitability.py; the mean loss of its sentences, each after the few
-- before it alone, is null until the model was asked for it.
ALTER TABLE token_scores ADD COLUMN nll REAL;
ALTER TABLE token_scores ADD COLUMN rsr REAL;
ALTER TABLE token_scores ADD COLUMN local_nll REAL;
CREATE INDEX token_scores_figures ON token_scores(model, seq, nll, rsr, local_nll);
-- The student that the figures of lists are of: at most one row.
CREATE TABLE chosen_student (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    model TEXT NOT NULL,            -- as in token_scores
    name TEXT NOT NULL
);
-- How many answers of a model to a problem are right, from the evaluations of the lab.
CREATE TABLE pass_rates (
    model TEXT NOT NULL,            -- as in token_scores
    problem_id TEXT NOT NULL,
    samples INTEGER NOT NULL,
    correct INTEGER NOT NULL,
    PRIMARY KEY (model, problem_id)
) WITHOUT ROWID;
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
    ("0002_distillation", DISTILLATION),
    ("0003_list_indexes", LIST_INDEXES),
    ("0004_evaluation", EVALUATION),
    ("0005_segments", _SEGMENTS),
    ("0006_context", _CONTEXT),
    ("0007_verifications", _VERIFICATIONS),
    ("0008_scale", _SCALE),
    ("0009_calibration", _CALIBRATION),
    ("0010_transparency", _TRANSPARENCY),
    ("0011_imports", _IMPORTS),
    ("0012_wrong_steps", _WRONG_STEPS),
    ("0013_trees", _TREES),
    ("0014_labels", _LABELS),
    ("0015_annotators", _ANNOTATORS),
    ("0016_token_scores", _LENS),
    ("0017_pairs", _PAIRS),
    ("0018_votes", VOTES),
    ("0019_sample_moves", _SAMPLE_MOVES),
    ("0020_labelled", _LABELLED),
    ("0021_suitability", _SUITABILITY),
    ("0022_branches", BRANCHES),
):
    _register(_name, _script)


@migrations(name="0022_suitability_of_scored")
def _suitability_of_scored(db: Database) -> None:
    """Fill in the figures of the traces that were scored before they were kept; damaged scores get none.

    Two migrations have the number 0022. The name identifies a migration, so neither can be renamed.
    """
    for (row_id,) in db.conn.execute("SELECT id FROM token_scores").fetchall():
        losses, packed = db.conn.execute("SELECT losses, tokens FROM token_scores WHERE id = ?", (row_id,)).fetchone()
        try:
            found = mean_loss(json.loads(losses)), rank_surprisal_ratio(json.loads(zlib.decompress(packed)))
        except (ValueError, KeyError, TypeError, zlib.error):
            continue
        db.conn.execute("UPDATE token_scores SET nll = ?, rsr = ? WHERE id = ?", (*found, row_id))


_register("0023_forced_answers", FORCED)
_register("0024_rollouts", ROLLOUTS)
_register("0025_dropped_tokens", DROPPED_TOKENS)
