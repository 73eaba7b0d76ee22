/*
 * schema_010.c - terms: what tells a database that was put back from a copy.
 *
 * Never change a migration that has been released: write the next one.
 */
#include "server/store/schema.h"

const char *const schema_010[] = {
	/* One for each time that a server began to serve. */
	"CREATE TABLE term (\n"
	"  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),\n"
	"  begun_ms INTEGER NOT NULL\n"
	") STRICT;\n",
	NULL,
};
