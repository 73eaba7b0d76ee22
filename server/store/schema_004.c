/*
 * schema_004.c - joins that a person approves.
 *
 * Never change a migration that has been released: write the next one.
 */
#include "server/store/schema.h"

const char *const schema_004[] = {
	"ALTER TABLE token ADD COLUMN approval INTEGER NOT NULL DEFAULT 0\n"
	"  CHECK (approval IN (0, 1));\n",
	/* Keys that wait; token NULL: one that joined long ago. */
	"CREATE TABLE joining (\n"
	"  spki BLOB NOT NULL PRIMARY KEY CHECK (length(spki) = 32),\n"
	"  role TEXT NOT NULL CHECK (role IN ('tentacle', 'relay')),\n"
	"  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 63),\n"
	"  hostname TEXT NOT NULL CHECK (length(hostname) < 256),\n"
	"  address TEXT NOT NULL CHECK (length(address) < 128),\n"
	"  version TEXT NOT NULL CHECK (length(version) < 64),\n"
	"  token TEXT REFERENCES token(id) ON DELETE CASCADE,\n"
	"  state TEXT NOT NULL CHECK (state IN\n"
	"    ('waiting', 'approved', 'rejected')),\n"
	"  created_ms INTEGER NOT NULL,\n"
	"  seen_ms INTEGER NOT NULL\n"
	") STRICT;\n"
	"CREATE INDEX joining_token ON joining(token);\n",
	NULL,
};
