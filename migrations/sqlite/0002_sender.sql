-- What our own app emits, what customers registered for it, and how their endpoints are doing.

ALTER TABLE events ADD COLUMN account TEXT;                -- whose it is; NULL if it is not ours
ALTER TABLE events ADD COLUMN kind TEXT;                   -- the name of its type; NULL if it is not ours
-- With all that its lists are narrowed by, since the columns stand behind the body.
CREATE INDEX events_of_account ON events (account, id, kind) WHERE account IS NOT NULL;

-- Other bodies of an event, from variant 1 on.
CREATE TABLE bodies (
    event              BLOB    NOT NULL,
    variant            INTEGER NOT NULL,
    body               BLOB    NOT NULL,
    PRIMARY KEY (event, variant)
);

-- States: 4 skipped, 5 cancelled.
ALTER TABLE deliveries ADD COLUMN variant INTEGER NOT NULL DEFAULT 0;  -- which body it has: 0 for the event's own
ALTER TABLE deliveries ADD COLUMN ordered INTEGER NOT NULL DEFAULT 0;  -- 1 if its destination gets one at a time
ALTER TABLE deliveries ADD COLUMN trigger INTEGER NOT NULL DEFAULT 0;  -- 0 event, 1 resend, 2 replay, 3 recover, 4 test
ALTER TABLE deliveries ADD COLUMN reason TEXT;             -- why it is dead, skipped or cancelled
ALTER TABLE deliveries ADD COLUMN signed_at INTEGER;       -- when it was first leased
ALTER TABLE deliveries ADD COLUMN kind TEXT;               -- of its event; NULL if that is not ours
CREATE INDEX deliveries_sent ON deliveries (destination, id) WHERE kind IS NOT NULL;
CREATE INDEX deliveries_ordered ON deliveries (destination, state, id) WHERE ordered = 1 AND state IN (0, 1);

ALTER TABLE attempts ADD COLUMN exchange BLOB;             -- what was sent and answered, as JSON

-- Of the documents below; the only row.
CREATE TABLE directory (
    version            INTEGER NOT NULL
);
INSERT INTO directory VALUES (0);

-- What customers registered. The store does not read it.
CREATE TABLE records (
    kind               INTEGER NOT NULL,                   -- 0 account, 1 event type, 2 group, 3 endpoint
    account            TEXT    NOT NULL,
    id                 TEXT    NOT NULL,
    version            INTEGER NOT NULL,                   -- of the directory, since when it is as it is
    document           BLOB,                               -- NULL once it is deleted
    PRIMARY KEY (kind, account, id)
);
CREATE INDEX records_version ON records (version);

-- What was answered to requests that may come again. Swept along the keys.
CREATE TABLE answers (
    key                BLOB    NOT NULL PRIMARY KEY,       -- digest of whose request it was, for what, and its key
    request            BLOB    NOT NULL,                   -- digest of its body
    response           BLOB    NOT NULL,
    until              INTEGER NOT NULL
);

-- Endpoints that have not taken anything since their last success.
CREATE TABLE failing (
    endpoint           TEXT    NOT NULL PRIMARY KEY,
    since              INTEGER NOT NULL,
    last_at            INTEGER NOT NULL,
    attempts           INTEGER NOT NULL,
    last_status        INTEGER,
    last_error         TEXT,
    last_event         BLOB    NOT NULL,
    gone               INTEGER NOT NULL,                   -- 1 if it answered 410
    warned             INTEGER NOT NULL                    -- 1 if somebody was told
);

-- What endpoints did, day by day.
CREATE TABLE tallies (
    endpoint           TEXT    NOT NULL,
    day                INTEGER NOT NULL,                   -- since 1970, UTC
    delivered          INTEGER NOT NULL,
    dead               INTEGER NOT NULL,
    duration_ms        INTEGER NOT NULL,                   -- of what was delivered: the last attempts' together
    last_delivered_at  INTEGER,
    last_dead_at       INTEGER,
    PRIMARY KEY (endpoint, day)
);
CREATE INDEX tallies_day ON tallies (day);
