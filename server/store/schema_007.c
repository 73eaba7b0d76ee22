/*
 * schema_007.c - the keys of servers.
 *
 * Never change a migration that has been released: write the next one.
 */
#include "server/store/schema.h"

const char *const schema_007[] = {
	/* Each server writes its own, at its start and after each renewal. */
	"CREATE TABLE node_key (\n"
	"  spki BLOB NOT NULL PRIMARY KEY CHECK (length(spki) = 32),\n"
	"  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 63),\n"
	"  version TEXT NOT NULL CHECK (length(version) < 64),\n"
	"  not_after_ms INTEGER NOT NULL,\n"
	"  first_ms INTEGER NOT NULL,\n"
	"  seen_ms INTEGER NOT NULL\n"
	") STRICT;\n",
	NULL,
};
