#include "server/store/instance.h"
#include "server/store/list.h"

#include <string.h>

/* The statements of a role. */
struct life_sql {
	const char *get, *swap, *put, *hold;
	const char *add_copy, *drop_copies, *copies;
};

#define LIFE_SQL(T, KEY)                                                       \
	.get = "SELECT journal, counter, start, nonce, succession,"            \
	       " succession_before FROM " T " WHERE " KEY " = ?",              \
	.swap = "UPDATE " T " SET journal = ?, counter = ?, start = ?,"        \
		" nonce = ?, succession = ?, succession_before = ?"            \
		" WHERE " KEY " = ? AND start = ? AND nonce = ?"               \
		" AND succession IS NOT DISTINCT FROM ?",                      \
	.put = "UPDATE " T " SET journal = ?, counter = 0, start = ?,"         \
	       " nonce = ?, succession = ?, succession_before = ?,"            \
	       " hold = '' WHERE " KEY " = ?",                                 \
	.hold = "UPDATE " T " SET hold = 'clone' WHERE " KEY " = ?",           \
	.add_copy = "INSERT INTO " T "_copy(" T ", nonce, start, journal,"     \
		    " counter, succession, via, seen_ms, known)"               \
		    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",                     \
	.drop_copies = "DELETE FROM " T "_copy WHERE " T " = ?",               \
	.copies = "SELECT nonce, start, journal, counter, succession, via,"    \
		  " seen_ms, known FROM " T "_copy WHERE " T " = ?"            \
		  " ORDER BY known DESC"

static const struct life_sql *sql_of(const struct store_member *of)
{
	static const struct life_sql machine = { LIFE_SQL("machine", "id") };
	static const struct life_sql relay = { LIFE_SQL("relay", "name") };

	return of->role == STORE_ROLE_RELAY ? &relay : &machine;
}

enum rc store_instance_get(
    struct db *db, const struct store_member *of, struct store_instance *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, sql_of(of)->get);
	query_text(&q, of->id);
	rc = query_step(&q);
	if (rc == RC_OK) {
		query_copy_text(&q, 0, out->journal, sizeof(out->journal));
		out->counter = query_get_u64(&q, 1);
		out->start = query_get_u64(&q, 2);
		query_copy_text(&q, 3, out->nonce, sizeof(out->nonce));
		query_copy_blob(
		    &q, 4, out->succession, sizeof(out->succession));
		query_copy_blob(&q, 5, out->succession_before,
		    sizeof(out->succession_before));
	}
	query_end(&q);
	return rc;
}

enum rc store_instance_swap(struct db *db, const struct store_member *of,
    const struct store_instance *old, const struct store_instance *next)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, sql_of(of)->swap);
	query_text(&q, next->journal);
	query_u64(&q, next->counter);
	query_u64(&q, next->start);
	query_text(&q, next->nonce);
	query_key(&q, next->succession, sizeof(next->succession));
	query_key(&q, next->succession_before, sizeof(next->succession_before));
	query_text(&q, of->id);
	query_u64(&q, old->start);
	query_text(&q, old->nonce);
	query_key(&q, old->succession, sizeof(old->succession));
	rc = query_change(&q);
	return rc == RC_NOTFOUND ? RC_STATE : rc;
}

enum rc store_instance_counter(
    struct db *db, const char *machine, const char *journal, uint64_t counter)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "UPDATE machine SET counter ="
	    " CASE WHEN counter < ?1 THEN ?1 ELSE counter END"
	    " WHERE id = ? AND journal = ?");
	query_u64(&q, counter);
	query_text(&q, machine);
	query_text(&q, journal);
	rc = query_change(&q);
	return rc == RC_NOTFOUND ? RC_STATE : rc;
}

/* ---- copies ---- */

static MUST_CHECK enum rc add_copy(
    struct db *db, const struct store_member *of, const struct store_copy *c)
{
	struct query q;

	query_start(&q, db, sql_of(of)->add_copy);
	query_text(&q, of->id);
	query_text(&q, c->nonce);
	query_u64(&q, c->start);
	query_text(&q, c->journal);
	query_u64(&q, c->counter);
	query_key(&q, c->succession, sizeof(c->succession));
	query_text(&q, c->via);
	query_u64(&q, c->seen_ms);
	query_int(&q, c->known);
	return query_run(&q, NULL);
}

static MUST_CHECK enum rc drop_copies(
    struct db *db, const struct store_member *of)
{
	return list_run(db, sql_of(of)->drop_copies, of->id);
}

enum rc store_instance_fork(struct db *db, const struct store_member *of,
    const struct store_copy *known, const struct store_copy *other)
{
	enum rc rc = drop_copies(db, of);

	if (rc == RC_OK)
		rc = list_change(db, sql_of(of)->hold, of->id);
	if (rc == RC_OK)
		rc = add_copy(db, of, known);
	if (rc == RC_OK)
		rc = add_copy(db, of, other);
	return rc;
}

enum rc store_instance_copies(struct db *db, const struct store_member *of,
    struct store_copy out[STORE_COPIES_MAX], size_t *count)
{
	struct query q;
	size_t n = 0;

	query_start(&q, db, sql_of(of)->copies);
	query_text(&q, of->id);
	while (n < STORE_COPIES_MAX && query_step(&q) == RC_OK) {
		struct store_copy *c = &out[n++];

		*c = (struct store_copy){ .known = query_get_bool(&q, 7) };
		query_copy_text(&q, 0, c->nonce, sizeof(c->nonce));
		c->start = query_get_u64(&q, 1);
		query_copy_text(&q, 2, c->journal, sizeof(c->journal));
		c->counter = query_get_u64(&q, 3);
		query_copy_blob(&q, 4, c->succession, sizeof(c->succession));
		query_copy_text(&q, 5, c->via, sizeof(c->via));
		c->seen_ms = query_get_u64(&q, 6);
	}
	*count = n;
	return list_end(&q, q.rc);
}

/* Its row, as it is from now on; a journal is believed as it is now. */
static MUST_CHECK enum rc put(struct db *db, const struct store_member *of,
    const struct store_instance *now)
{
	struct query q;

	query_start(&q, db, sql_of(of)->put);
	query_text(&q, now->journal);
	query_u64(&q, now->start);
	query_text(&q, now->nonce);
	query_key(&q, now->succession, sizeof(now->succession));
	query_key(&q, now->succession_before, sizeof(now->succession_before));
	query_text(&q, of->id);
	return query_change(&q);
}

/* A copied memory has the same nonce twice: then it is the first. */
static const struct store_copy *find_copy(const struct store_copy *copies,
    size_t count, const char *name, struct fault *fault)
{
	size_t len = strlen(name), matches = 0;
	const struct store_copy *found = NULL;

	for (size_t i = count; i > 0 && len > 0; i--) {
		const struct store_copy *c = &copies[i - 1];

		if (strncmp(c->nonce, name, len) != 0)
			continue;
		if (found == NULL || strcmp(found->nonce, c->nonce) != 0)
			matches++;
		found = c;
	}
	if (matches == 1)
		return found;
	if (count == STORE_COPIES_MAX)
		fault_set(fault, REASON_NOT_FOUND, "",
		    "instance %.40s: not found; there are %.8s and %.8s", name,
		    copies[0].nonce, copies[1].nonce);
	else
		fault_set(fault, REASON_NOT_FOUND, "",
		    "instance %.40s: not found; nothing is held for copies "
		    "here",
		    name);
	return NULL;
}

static MUST_CHECK enum rc choose(struct db *db, const struct store_member *of,
    const char *name, struct store_instance *now, struct fault *fault)
{
	struct store_copy copies[STORE_COPIES_MAX];
	const struct store_copy *chosen;
	size_t count = 0;
	enum rc rc = store_instance_copies(db, of, copies, &count);

	if (rc != RC_OK)
		return rc;
	if (name == NULL) {
		/* A machine that was held for its journal stays who it is. */
		if (count > 0)
			*now = (struct store_instance){ .counter = 0 };
		now->journal[0] = '\0';
		return RC_OK;
	}
	chosen = find_copy(copies, count, name, fault);
	if (chosen == NULL)
		return RC_NOTFOUND;
	if (chosen->known)
		return RC_OK;
	*now = (struct store_instance){ .start = chosen->start };
	memcpy(now->journal, chosen->journal, sizeof(now->journal));
	memcpy(now->nonce, chosen->nonce, sizeof(now->nonce));
	memcpy(now->succession, chosen->succession, sizeof(now->succession));
	return RC_OK;
}

enum rc store_instance_release(struct db *db, const struct store_member *of,
    const char *copy, struct fault *fault)
{
	struct store_instance now;
	enum rc rc = store_instance_get(db, of, &now);

	if (rc == RC_OK)
		rc = choose(db, of, copy, &now, fault);
	if (rc == RC_OK)
		rc = drop_copies(db, of);
	return rc == RC_OK ? put(db, of, &now) : rc;
}

enum rc store_instance_forget(struct db *db, const struct store_member *of)
{
	const struct store_instance none = { .counter = 0 };
	enum rc rc = drop_copies(db, of);

	return rc == RC_OK ? put(db, of, &none) : rc;
}
