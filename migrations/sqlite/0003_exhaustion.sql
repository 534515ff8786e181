-- What follows where all attempts at an event were used up.

ALTER TABLE failing ADD COLUMN exhausted INTEGER NOT NULL DEFAULT 0;   -- 1 if that ends the endpoint, and it happened
