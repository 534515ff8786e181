-- Times are milliseconds since 1970. Ids are 16 bytes that sort by time.

-- What happened: for the gateway, a webhook that was accepted.
CREATE TABLE events (
    id                 BLOB    NOT NULL PRIMARY KEY,
    source             TEXT    NOT NULL,
    event_id           TEXT,                          -- the provider's, as in hookward-event-id
    accepted_at        INTEGER NOT NULL,
    method             TEXT    NOT NULL,
    query              TEXT,                          -- verbatim, without the question mark
    headers            BLOB    NOT NULL,              -- as they are forwarded, one line each
    body               BLOB    NOT NULL               -- byte for byte
);
CREATE INDEX events_accepted ON events (accepted_at);
CREATE INDEX events_event_id ON events (event_id) WHERE event_id IS NOT NULL;

-- One event owed to one destination.
CREATE TABLE deliveries (
    id                 BLOB    NOT NULL PRIMARY KEY,
    event              BLOB    NOT NULL,
    destination        TEXT    NOT NULL,
    created_at         INTEGER NOT NULL,
    state              INTEGER NOT NULL,              -- 0 waiting, 1 leased, 2 delivered, 3 dead
    due_at             INTEGER NOT NULL,              -- waiting: not before; leased: the lease's end; else: when it was settled
    lease_token        INTEGER,
    attempts           INTEGER NOT NULL,              -- those that count, which ours do not
    possible_duplicate INTEGER NOT NULL               -- 1 if the destination may have had it already
);
CREATE INDEX deliveries_waiting ON deliveries (destination, due_at) WHERE state = 0;
CREATE INDEX deliveries_leased ON deliveries (due_at) WHERE state = 1;
CREATE INDEX deliveries_dead ON deliveries (due_at) WHERE state = 3;
CREATE INDEX deliveries_of_event ON deliveries (event);

-- One try at a delivery.
CREATE TABLE attempts (
    delivery           BLOB    NOT NULL,
    started_at         INTEGER NOT NULL,
    duration_ms        INTEGER NOT NULL,
    status             INTEGER,                       -- of the answer, where there was one
    error              TEXT,
    charged            INTEGER NOT NULL,              -- 0 if it failed for a reason of ours
    PRIMARY KEY (delivery, started_at)
) WITHOUT ROWID;

-- What events are remembered by. Swept along the keys, so that no second index is needed.
CREATE TABLE dedup (
    key                BLOB    NOT NULL PRIMARY KEY,  -- 16 bytes of a keyed hash
    state              INTEGER NOT NULL,              -- 1 in flight, 2 attempted, 3 committed, 4 in flight again
    token              INTEGER NOT NULL,
    boot               INTEGER NOT NULL,              -- the process that has it in flight; 0 once it is settled
    fingerprint        INTEGER NOT NULL,              -- of the body
    until              INTEGER NOT NULL               -- the lease's end, or when it is forgotten
) WITHOUT ROWID;
