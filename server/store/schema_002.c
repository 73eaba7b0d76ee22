/* schema_002.c - authorities that follow others, and who has heard of it. */
#include "server/store/schema.h"

const char *const schema_002[] = {
	/* The newest row counts.  Keys: that of `agents` is wrapped by the
	   master key, those of nodes and root are files. */
	"CREATE TABLE rotation (\n"
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
	"  kind TEXT NOT NULL CHECK (kind IN ('agents', 'nodes', 'root')),\n"
	"  phase TEXT NOT NULL CHECK (phase IN\n"
	"    ('spreading', 'issuing', 'done')),\n"
	"  who TEXT NOT NULL,\n"
	"  started_ms INTEGER NOT NULL,\n"
	"  changed_ms INTEGER NOT NULL,\n"
	"  left_out TEXT NOT NULL DEFAULT '' CHECK (length(left_out) <= 65536),\n"
	"  number INTEGER NOT NULL CHECK (number > 0),\n"
	"  bundle_during BLOB NOT NULL,\n"
	"  bundle_after BLOB NOT NULL,\n"
	"  agents BLOB NOT NULL CHECK (length(agents) = 32),\n"
	"  nodes BLOB NOT NULL CHECK (length(nodes) = 32),\n"
	"  agents_chain BLOB,\n"
	"  agents_key BLOB\n"
	") STRICT;\n",
	/* What each relay and machine trusts, and who issued its certificate,
	   as it was last seen. */
	"CREATE TABLE member_trust (\n"
	"  role TEXT NOT NULL CHECK (role IN ('tentacle', 'relay')),\n"
	"  id TEXT NOT NULL CHECK (length(id) BETWEEN 1 AND 63),\n"
	"  bundle INTEGER NOT NULL,\n"
	"  authority BLOB NOT NULL CHECK (length(authority) = 32),\n"
	"  at_ms INTEGER NOT NULL,\n"
	"  PRIMARY KEY (role, id)\n"
	") STRICT;\n",
	NULL,
};
