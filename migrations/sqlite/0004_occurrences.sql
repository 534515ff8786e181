-- How often something happened that endpoints are told of the 1st, 10th, 100th … time within a window.
CREATE TABLE occurrences (
    destination        TEXT    NOT NULL,
    of                 BLOB    NOT NULL,              -- digest of what is counted together
    until              INTEGER NOT NULL,              -- when the window is over
    count              INTEGER NOT NULL,
    PRIMARY KEY (destination, of)
) WITHOUT ROWID;
CREATE INDEX occurrences_until ON occurrences (until);
