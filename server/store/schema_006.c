/*
 * schema_006.c - what scripts say of themselves.
 *
 * Never change a migration that has been released: write the next one.
 */
#include "server/store/schema.h"

const char *const schema_006[] = {
	/* text is wrapped by the master key when it is sensitive. */
	"CREATE TABLE run_note (\n"
	"  task INTEGER NOT NULL REFERENCES task(id) ON DELETE CASCADE,\n"
	"  block INTEGER NOT NULL,\n"
	"  target INTEGER NOT NULL,\n"
	"  action INTEGER NOT NULL,\n"
	"  number INTEGER NOT NULL CHECK (number BETWEEN 1 AND 1000),\n"
	"  ticket TEXT NOT NULL CHECK (length(ticket) = 32),\n"
	"  kind TEXT NOT NULL CHECK (kind IN\n"
	"    ('output', 'warning', 'artifact')),\n"
	"  name TEXT NOT NULL CHECK (length(name) < 256),\n"
	"  sensitive INTEGER NOT NULL CHECK (sensitive IN (0, 1)),\n"
	"  text BLOB NOT NULL CHECK (length(text) < 16384),\n"
	"  size INTEGER NOT NULL CHECK (size >= 0),\n"
	"  digest TEXT NOT NULL CHECK (length(digest) IN (0, 64)),\n"
	"  at_ms INTEGER NOT NULL,\n"
	"  PRIMARY KEY (task, block, target, action, number)\n"
	") STRICT;\n",
	"CREATE TABLE run_progress (\n"
	"  task INTEGER NOT NULL REFERENCES task(id) ON DELETE CASCADE,\n"
	"  block INTEGER NOT NULL,\n"
	"  target INTEGER NOT NULL,\n"
	"  action INTEGER NOT NULL,\n"
	"  percent INTEGER NOT NULL CHECK (percent BETWEEN 0 AND 100),\n"
	"  warnings INTEGER NOT NULL CHECK (warnings >= 0),\n"
	"  text TEXT NOT NULL CHECK (length(text) < 256),\n"
	"  PRIMARY KEY (task, block, target, action)\n"
	") STRICT;\n",
	NULL,
};
