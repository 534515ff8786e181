-- How often something happened that endpoints are told of the 1st, 10th, 100th … time within a window.
CREATE TABLE occurrences (
    destination        text     NOT NULL,
    of                 bytea    NOT NULL,              -- digest of what is counted together
    until              bigint   NOT NULL,              -- when the window is over
    count              bigint   NOT NULL,
    PRIMARY KEY (destination, of)
);
CREATE INDEX occurrences_until ON occurrences (until);
