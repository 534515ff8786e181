-- What follows where all attempts at an event were used up.

ALTER TABLE failing ADD COLUMN exhausted boolean NOT NULL DEFAULT false;   -- true if that ends the endpoint, and it happened
