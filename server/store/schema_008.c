/*
 * schema_008.c - attempts of a run, and what people decide about tasks.
 *
 * Never change a migration that has been released: write the next one.
 */
#include "server/store/schema.h"

const char *const schema_008[] = {
	"ALTER TABLE task ADD COLUMN guided INTEGER NOT NULL DEFAULT 0\n"
	"  CHECK (guided IN (0, 1));\n"
	"ALTER TABLE task ADD COLUMN limit_ms INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE task ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE task ADD COLUMN approved INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE task ADD COLUMN approval INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE block ADD COLUMN approve TEXT NOT NULL DEFAULT '';\n"
	"ALTER TABLE action ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE action ADD COLUMN rerun_safe INTEGER NOT NULL DEFAULT 0\n"
	"  CHECK (rerun_safe IN (0, 1));\n",
	/* The row is of the last attempt; `former` are the tickets of earlier
	   ones that may still run; their output is before log_base. */
	"ALTER TABLE run ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;\n"
	"ALTER TABLE run ADD COLUMN decision TEXT NOT NULL DEFAULT ''\n"
	"  CHECK (decision IN ('', 'waiting', 'retry', 'ignored', 'excluded'));\n"
	"ALTER TABLE run ADD COLUMN doubt INTEGER NOT NULL DEFAULT 0\n"
	"  CHECK (doubt IN (0, 1));\n"
	"ALTER TABLE run ADD COLUMN former TEXT NOT NULL DEFAULT '';\n"
	"ALTER TABLE run ADD COLUMN log_base INTEGER NOT NULL DEFAULT 0\n"
	"  CHECK (log_base >= 0);\n",
	/* A run, or with target and action -1 a block that asks for approval.
	   Nobody decides the same attempt twice. */
	"CREATE TABLE decision (\n"
	"  task INTEGER NOT NULL REFERENCES task(id) ON DELETE CASCADE,\n"
	"  block INTEGER NOT NULL,\n"
	"  target INTEGER NOT NULL,\n"
	"  action INTEGER NOT NULL,\n"
	"  attempt INTEGER NOT NULL,\n"
	"  verb TEXT NOT NULL CHECK (verb IN ('retry', 'ignore', 'fail',\n"
	"    'exclude', 'approve', 'reject', 'succeeded', 'failed')),\n"
	"  who TEXT NOT NULL,\n"
	"  note TEXT NOT NULL CHECK (length(note) <= 1000),\n"
	"  at_ms INTEGER NOT NULL,\n"
	"  PRIMARY KEY (task, block, target, action, attempt)\n"
	") STRICT;\n",
	/* A key that could do everything still can. */
	"UPDATE apikey SET permissions = 262143 WHERE permissions = 131071;\n",
	NULL,
};
