/*
 * tempdb.h - a fresh database in a directory of its own, and its end.
 *
 * Functions are inline so that only tests of the server link the store.
 */
#ifndef TEST_SUPPORT_TEMPDB_H
#define TEST_SUPPORT_TEMPDB_H

#include "server/store/migrate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct tempdb {
	char dir[64];
	char path[128];
	struct db *db;
};

static inline void tempdb_dir(struct tempdb *t)
{
	memset(t, 0, sizeof(*t));
	(void)snprintf(t->dir, sizeof(t->dir), "/tmp/longarm-test-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	(void)snprintf(t->path, sizeof(t->path), "%s/longarm.db", t->dir);
}

static inline void tempdb_open(struct tempdb *t)
{
	const struct migration *steps;
	struct fault fault = { 0 };
	uint32_t count;

	tempdb_dir(t);
	steps = migrations(&count);
	if (db_open(t->path, &t->db, &fault) != RC_OK ||
	    migrate(t->db, steps, count, NULL, &fault) != RC_OK)
		fail_msg("%s", fault.text);
}

static inline void tempdb_close(struct tempdb *t)
{
	static const char *const tails[] = { "", "-wal", "-shm", "-journal",
		".before-1", ".before-2" };
	char path[160];

	db_close(t->db);
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", t->path, tails[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(t->dir), 0);
}

#endif
