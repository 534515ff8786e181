-- Times are milliseconds since 1970. Ids are 16 bytes that sort by time. The schema is on the search path.

-- What happened: for the gateway, a webhook that was accepted.
CREATE TABLE events (
    id                 bytea    NOT NULL PRIMARY KEY,
    source             text     NOT NULL,
    event_id           text,                           -- the provider's, as in hookward-event-id
    accepted_at        bigint   NOT NULL,
    method             text     NOT NULL,
    query              text,                           -- verbatim, without the question mark
    headers            bytea    NOT NULL,              -- as they are forwarded, one line each
    body               bytea    NOT NULL               -- byte for byte
);
CREATE INDEX events_accepted ON events (accepted_at);
CREATE INDEX events_event_id ON events (event_id) WHERE event_id IS NOT NULL;

-- One event owed to one destination.
CREATE TABLE deliveries (
    id                 bytea    NOT NULL PRIMARY KEY,
    event              bytea    NOT NULL,
    destination        text     NOT NULL,
    created_at         bigint   NOT NULL,
    state              smallint NOT NULL,              -- 0 waiting, 1 leased, 2 delivered, 3 dead
    due_at             bigint   NOT NULL,              -- waiting: not before; leased: the lease's end; else: when it was settled
    lease_token        bigint,
    attempts           integer  NOT NULL,              -- those that count, which ours do not
    possible_duplicate boolean  NOT NULL               -- true if the destination may have had it already
);
CREATE INDEX deliveries_waiting ON deliveries (destination, due_at) WHERE state = 0;
CREATE INDEX deliveries_leased ON deliveries (due_at) WHERE state = 1;
CREATE INDEX deliveries_dead ON deliveries (due_at) WHERE state = 3;
CREATE INDEX deliveries_of_event ON deliveries (event);

-- One try at a delivery.
CREATE TABLE attempts (
    delivery           bytea    NOT NULL,
    started_at         bigint   NOT NULL,
    duration_ms        bigint   NOT NULL,
    status             integer,                        -- of the answer, where there was one
    error              text,
    charged            boolean  NOT NULL,              -- false if it failed for a reason of ours
    PRIMARY KEY (delivery, started_at)
);

-- What events are remembered by. Swept along the keys, so that no second index is needed.
CREATE TABLE dedup (
    key                bytea    NOT NULL PRIMARY KEY,  -- 16 bytes of a keyed hash
    state              smallint NOT NULL,              -- 1 in flight, 2 attempted, 3 committed, 4 in flight again
    token              bigint   NOT NULL,
    fingerprint        bigint   NOT NULL,              -- of the body
    until              bigint   NOT NULL               -- the lease's end, or when it is forgotten
);
