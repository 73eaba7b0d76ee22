/*
 * schema_005.c - several routes to a relay.
 *
 * Never change a migration that has been released: write the next one.
 */
#include "server/store/schema.h"

const char *const schema_005[] = {
	/* As `route` and `route_hop` for machines. */
	"CREATE TABLE relay_route (\n"
	"  relay TEXT NOT NULL REFERENCES relay(name) ON DELETE CASCADE,\n"
	"  ordinal INTEGER NOT NULL CHECK (ordinal BETWEEN 0 AND 7),\n"
	"  path TEXT NOT NULL CHECK (length(path) BETWEEN 1 AND 511),\n"
	"  endpoint TEXT NOT NULL CHECK (length(endpoint) < 262),\n"
	"  PRIMARY KEY (relay, ordinal),\n"
	"  UNIQUE (relay, path)\n"
	") STRICT;\n"
	"CREATE TABLE relay_route_hop (\n"
	"  relay TEXT NOT NULL,\n"
	"  ordinal INTEGER NOT NULL,\n"
	"  position INTEGER NOT NULL CHECK (position BETWEEN 0 AND 7),\n"
	"  via TEXT NOT NULL REFERENCES relay(name),\n"
	"  PRIMARY KEY (relay, ordinal, position),\n"
	"  FOREIGN KEY (relay, ordinal) REFERENCES relay_route(relay, ordinal)\n"
	"    ON DELETE CASCADE\n"
	") STRICT;\n"
	"CREATE INDEX relay_route_hop_via ON relay_route_hop(via);\n",
	"INSERT INTO relay_route(relay, ordinal, path, endpoint)\n"
	"  SELECT name, 0, path, endpoint FROM relay;\n"
	"INSERT INTO relay_route_hop(relay, ordinal, position, via)\n"
	"  SELECT relay, 0, position, via FROM relay_hop;\n"
	"DROP TABLE relay_hop;\n"
	"ALTER TABLE relay DROP COLUMN path;\n"
	"ALTER TABLE relay DROP COLUMN endpoint;\n",
	NULL,
};
