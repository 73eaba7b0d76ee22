/*
 * setting.h - single values: cluster id, incarnation, wrapped keys, schedule.
 * SQL thread only.
 */
#ifndef SERVER_STORE_SETTING_H
#define SERVER_STORE_SETTING_H

#include "server/store/db.h"

#define SETTING_CLUSTER     "cluster"     /* 32 hex digits */
#define SETTING_INCARNATION "incarnation" /* "<seconds>-<32 hex digits>" */
#define SETTING_AGENTS_KEY  "ca.agents"   /* wrapped by the master key */
/* PEM of `agents` and what is above it; unset: as in DIR/ca/agents.crt. */
#define SETTING_AGENTS_CHAIN "ca.agents.chain"
/* The signed list of revoked keys of nodes, whose signing key may be away. */
#define SETTING_REVOKED_NODES "revoked-nodes"
/* Why nothing may be ordered: the database was put back from a copy. */
#define SETTING_SET_BACK "set-back"
#define SETTING_HEALTH   "health" /* JSON: schedule and check script */

/* RC_NOTFOUND; a value is bytes; the NUL after them is not counted in *len.
 * free(*value). */
MUST_CHECK enum rc store_setting_get(
    struct db *db, const char *name, char **value, size_t *len);
MUST_CHECK enum rc store_setting_set(
    struct db *db, const char *name, const void *value, size_t len);
/* Only when there is none yet; RC_EXISTS. */
MUST_CHECK enum rc store_setting_add(
    struct db *db, const char *name, const void *value, size_t len);

/* The next number of a named sequence: 1, 2, ... */
MUST_CHECK enum rc store_sequence_next(
    struct db *db, const char *name, uint64_t *out);
/* The last that was given; 0: none. */
MUST_CHECK enum rc store_sequence_last(
    struct db *db, const char *name, uint64_t *out);

#endif
