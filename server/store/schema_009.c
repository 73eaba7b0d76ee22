/*
 * schema_009.c - copies of relays.
 *
 * Never change a migration that has been released: write the next one.
 */
#include "server/store/schema.h"

const char *const schema_009[] = {
	/* As for machines. */
	"ALTER TABLE relay ADD COLUMN hold TEXT NOT NULL DEFAULT ''\n"
	"  CHECK (hold IN ('', 'clone'));\n"
	"ALTER TABLE relay ADD COLUMN nonce TEXT NOT NULL DEFAULT '';\n"
	"ALTER TABLE relay ADD COLUMN counter INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE relay ADD COLUMN succession BLOB\n"
	"  CHECK (length(succession) = 32);\n"
	"ALTER TABLE relay ADD COLUMN succession_before BLOB\n"
	"  CHECK (length(succession_before) = 32);\n",
	"CREATE TABLE relay_copy (\n"
	"  relay TEXT NOT NULL REFERENCES relay(name) ON DELETE CASCADE,\n"
	"  nonce TEXT NOT NULL CHECK (length(nonce) <= 32),\n"
	"  start INTEGER NOT NULL,\n"
	"  journal TEXT NOT NULL,\n"
	"  counter INTEGER NOT NULL,\n"
	"  succession BLOB CHECK (length(succession) = 32),\n"
	"  via TEXT NOT NULL CHECK (length(via) < 256),\n"
	"  seen_ms INTEGER NOT NULL,\n"
	"  known INTEGER NOT NULL CHECK (known IN (0, 1)),\n"
	"  PRIMARY KEY (relay, nonce, known)\n"
	") STRICT;\n",
	NULL,
};
