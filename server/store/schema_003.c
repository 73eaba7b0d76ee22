/*
 * schema_003.c - copies of machines, and joins that a person approves.
 *
 * Never change a migration that has been released: write the next one.
 */
#include "server/store/schema.h"

const char *const schema_003[] = {
	/* The lives that contradict each other, while the machine is held. */
	"CREATE TABLE machine_copy (\n"
	"  machine TEXT NOT NULL REFERENCES machine(id) ON DELETE CASCADE,\n"
	"  nonce TEXT NOT NULL CHECK (length(nonce) <= 32),\n"
	"  start INTEGER NOT NULL,\n"
	"  journal TEXT NOT NULL,\n"
	"  counter INTEGER NOT NULL,\n"
	"  succession BLOB CHECK (length(succession) = 32),\n"
	"  via TEXT NOT NULL CHECK (length(via) < 256),\n"
	"  seen_ms INTEGER NOT NULL,\n"
	"  known INTEGER NOT NULL CHECK (known IN (0, 1)),\n"
	"  PRIMARY KEY (machine, nonce, known)\n"
	") STRICT;\n",
	NULL,
};
