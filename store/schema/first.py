"""The first schema of a lab, released as migration ``0001_first``. It is never edited."""

FIRST = """
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
