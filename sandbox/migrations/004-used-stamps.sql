-- Stamps that have authenticated a placement, kept while used stamps are refused.
CREATE TABLE sandbox.used_stamp (
  access_key text NOT NULL REFERENCES sandbox.access_key,
  stamp bigint NOT NULL,
  PRIMARY KEY (access_key, stamp)
);
