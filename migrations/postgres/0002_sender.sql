-- What our own app emits, what customers registered for it, and how their endpoints are doing.

ALTER TABLE events ADD COLUMN account text;                -- whose it is; NULL if it is not ours
ALTER TABLE events ADD COLUMN kind text;                   -- the name of its type; NULL if it is not ours
CREATE INDEX events_of_account ON events (account, id, kind) WHERE account IS NOT NULL;

-- Other bodies of an event, from variant 1 on.
CREATE TABLE bodies (
    event              bytea    NOT NULL,
    variant            integer  NOT NULL,
    body               bytea    NOT NULL,
    PRIMARY KEY (event, variant)
);

-- States: 4 skipped, 5 cancelled.
ALTER TABLE deliveries ADD COLUMN variant integer NOT NULL DEFAULT 0;      -- which body it has: 0 for the event's own
ALTER TABLE deliveries ADD COLUMN ordered boolean NOT NULL DEFAULT false;  -- true if its destination gets one at a time
ALTER TABLE deliveries ADD COLUMN trigger smallint NOT NULL DEFAULT 0;     -- 0 event, 1 resend, 2 replay, 3 recover, 4 test
ALTER TABLE deliveries ADD COLUMN reason text;             -- why it is dead, skipped or cancelled
ALTER TABLE deliveries ADD COLUMN signed_at bigint;        -- when it was first leased
ALTER TABLE deliveries ADD COLUMN kind text;               -- of its event; NULL if that is not ours
CREATE INDEX deliveries_sent ON deliveries (destination, id) WHERE kind IS NOT NULL;
CREATE INDEX deliveries_ordered ON deliveries (destination, state, id) WHERE ordered AND state IN (0, 1);

ALTER TABLE attempts ADD COLUMN exchange bytea;            -- what was sent and answered, as JSON

-- Of the documents below; the only row.
CREATE TABLE directory (
    version            bigint   NOT NULL
);
INSERT INTO directory VALUES (0);

-- What customers registered. The store does not read it.
CREATE TABLE records (
    kind               smallint NOT NULL,                  -- 0 account, 1 event type, 2 group, 3 endpoint
    account            text     NOT NULL,
    id                 text     NOT NULL,
    version            bigint   NOT NULL,                  -- of the directory, since when it is as it is
    document           bytea,                              -- NULL once it is deleted
    PRIMARY KEY (kind, account, id)
);
CREATE INDEX records_version ON records (version);

-- What was answered to requests that may come again. Swept along the keys.
CREATE TABLE answers (
    key                bytea    NOT NULL PRIMARY KEY,      -- digest of whose request it was, for what, and its key
    request            bytea    NOT NULL,                  -- digest of its body
    response           bytea    NOT NULL,
    until              bigint   NOT NULL
);

-- Endpoints that have not taken anything since their last success.
CREATE TABLE failing (
    endpoint           text     NOT NULL PRIMARY KEY,
    since              bigint   NOT NULL,
    last_at            bigint   NOT NULL,
    attempts           integer  NOT NULL,
    last_status        integer,
    last_error         text,
    last_event         bytea    NOT NULL,
    gone               boolean  NOT NULL,                  -- true if it answered 410
    warned             boolean  NOT NULL                   -- true if somebody was told
);

-- What endpoints did, day by day.
CREATE TABLE tallies (
    endpoint           text     NOT NULL,
    day                bigint   NOT NULL,                  -- since 1970, UTC
    delivered          bigint   NOT NULL,
    dead               bigint   NOT NULL,
    duration_ms        bigint   NOT NULL,                  -- of what was delivered: the last attempts' together
    last_delivered_at  bigint,
    last_dead_at       bigint,
    PRIMARY KEY (endpoint, day)
);
CREATE INDEX tallies_day ON tallies (day);
