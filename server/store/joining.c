#include "server/store/joining.h"

#include "common/hex.h"
#include "server/store/list.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS                                                                \
	"SELECT spki, role, name, hostname, address, version, token, state,"   \
	" created_ms, seen_ms FROM joining"

static const char *const state_names[JOINING_STATE_COUNT] = {
	[JOINING_WAITING] = "waiting",
	[JOINING_APPROVED] = "approved",
	[JOINING_REJECTED] = "rejected",
};

const char *joining_state_name(enum joining_state s)
{
	return s < JOINING_STATE_COUNT ? state_names[s] : "?";
}

static void read_row(struct query *q, struct store_joining *j)
{
	const char *state = query_get_text(q, 7);

	*j = (struct store_joining){ .state = JOINING_REJECTED };
	query_copy_blob(q, 0, j->spki, sizeof(j->spki));
	if (store_role_parse(query_get_text(q, 1), &j->role) != RC_OK)
		j->role = STORE_ROLE_TENTACLE;
	query_copy_text(q, 2, j->name, sizeof(j->name));
	query_copy_text(q, 3, j->hostname, sizeof(j->hostname));
	query_copy_text(q, 4, j->address, sizeof(j->address));
	query_copy_text(q, 5, j->version, sizeof(j->version));
	query_copy_text(q, 6, j->token, sizeof(j->token));
	for (unsigned i = 0; i < JOINING_STATE_COUNT; i++) {
		if (strcmp(state, state_names[i]) == 0)
			j->state = (enum joining_state)i;
	}
	j->created_ms = query_get_u64(q, 8);
	j->seen_ms = query_get_u64(q, 9);
}

enum rc store_joining_get(struct db *db, const uint8_t spki[STORE_SHA256_SIZE],
    struct store_joining *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, COLUMNS " WHERE spki = ?");
	query_blob(&q, spki, STORE_SHA256_SIZE);
	rc = query_step(&q);
	if (rc == RC_OK)
		read_row(&q, out);
	query_end(&q);
	return rc;
}

static bool is_called(const struct store_joining *j, const char *name)
{
	char hex[2 * STORE_SHA256_SIZE + 1];
	size_t len = strlen(name);

	hex_encode(j->spki, sizeof(j->spki), hex);
	return strcmp(j->name, name) == 0 || strcmp(j->hostname, name) == 0 ||
	       (len >= 8 && strncmp(hex, name, len) == 0);
}

enum rc store_joining_find(struct db *db, enum store_role role,
    const char *name, struct store_joining *out, struct fault *fault)
{
	struct store_joining *rows = NULL;
	const struct store_joining *found = NULL;
	size_t count = 0, matches = 0;
	enum rc rc = store_joining_list(db, role, &rows, &count);

	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (!is_called(&rows[i], name))
			continue;
		found = &rows[i];
		matches++;
	}
	if (rc == RC_OK && matches == 1)
		*out = *found;
	free(rows);
	if (rc == RC_OK && matches > 1) {
		fault_set(fault, REASON_CONFLICT, "",
		    "%s: %zu wait that are called so; name one by its key",
		    name, matches);
		return RC_STATE;
	}
	if (rc == RC_OK && matches == 0)
		rc = RC_NOTFOUND;
	return db_fault(db, rc, fault, "%s %.80s that waits to join",
	    role == STORE_ROLE_RELAY ? "relay" : "machine", name);
}

static MUST_CHECK enum rc check_room(struct db *db, struct fault *fault)
{
	struct query q;
	uint64_t count = 0;
	enum rc rc;

	query_start(&q, db, "SELECT count(*) FROM joining");
	rc = query_step(&q);
	if (rc == RC_OK)
		count = query_get_u64(&q, 0);
	query_end(&q);
	if (rc != RC_OK || count < STORE_JOININGS_MAX)
		return rc;
	fault_set(fault, REASON_TOO_MANY, "",
	    "%d wait to be approved already; an operator must decide first",
	    STORE_JOININGS_MAX);
	return RC_LIMIT;
}

enum rc store_joining_add(
    struct db *db, const struct store_joining *j, struct fault *fault)
{
	struct query q;
	enum rc rc = check_room(db, fault);

	if (rc != RC_OK)
		return rc;
	query_start(&q, db,
	    "INSERT INTO joining(spki, role, name, hostname, address, version,"
	    " token, state, created_ms, seen_ms)"
	    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	query_blob(&q, j->spki, sizeof(j->spki));
	query_text(&q, store_role_name(j->role));
	query_text(&q, j->name);
	query_text(&q, j->hostname);
	query_text(&q, j->address);
	query_text(&q, j->version);
	query_text(&q, j->token[0] != '\0' ? j->token : NULL);
	query_text(&q, joining_state_name(j->state));
	query_u64(&q, j->created_ms);
	query_u64(&q, j->seen_ms);
	return db_fault(db, query_run(&q, NULL), fault, "join of %s", j->name);
}

enum rc store_joining_seen(
    struct db *db, const uint8_t spki[STORE_SHA256_SIZE], uint64_t now_ms)
{
	struct query q;

	query_start(&q, db, "UPDATE joining SET seen_ms = ? WHERE spki = ?");
	query_u64(&q, now_ms);
	query_blob(&q, spki, STORE_SHA256_SIZE);
	return query_change(&q);
}

enum rc store_joining_decide(struct db *db,
    const uint8_t spki[STORE_SHA256_SIZE], enum joining_state state)
{
	struct query q;

	query_start(&q, db, "UPDATE joining SET state = ? WHERE spki = ?");
	query_text(&q, joining_state_name(state));
	query_blob(&q, spki, STORE_SHA256_SIZE);
	return query_change(&q);
}

enum rc store_joining_drop(struct db *db, const uint8_t spki[STORE_SHA256_SIZE])
{
	struct query q;

	query_start(&q, db, "DELETE FROM joining WHERE spki = ?");
	query_blob(&q, spki, STORE_SHA256_SIZE);
	return query_run(&q, NULL);
}

enum rc store_joining_list(struct db *db, enum store_role role,
    struct store_joining **rows, size_t *count)
{
	struct store_joining *all = calloc(STORE_JOININGS_MAX, sizeof(*all));
	struct query q;
	size_t n = 0;
	enum rc rc;

	if (all == NULL)
		return RC_NOMEM;
	query_start(&q, db,
	    COLUMNS " WHERE role = ? ORDER BY created_ms, spki LIMIT ?");
	query_text(&q, store_role_name(role));
	query_int(&q, STORE_JOININGS_MAX);
	while (n < STORE_JOININGS_MAX && query_step(&q) == RC_OK)
		read_row(&q, &all[n++]);
	rc = list_end(&q, q.rc);
	if (rc != RC_OK) {
		free(all);
		return rc;
	}
	*rows = all;
	*count = n;
	return RC_OK;
}

enum rc store_joining_expire(struct db *db, uint64_t now_ms)
{
	struct query q;

	if (now_ms < STORE_JOINING_LIFE_MS)
		return RC_OK;
	query_start(&q, db, "DELETE FROM joining WHERE seen_ms < ?");
	query_u64(&q, now_ms - STORE_JOINING_LIFE_MS);
	return query_run(&q, NULL);
}
