#include "server/store/instance.h"
#include "server/store/list.h"

enum rc store_instance_get(
    struct db *db, const char *machine, struct store_instance *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "SELECT journal, counter, start, nonce, succession,"
	    " succession_before FROM machine WHERE id = ?");
	query_text(&q, machine);
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

enum rc store_instance_swap(struct db *db, const char *machine,
    const struct store_instance *old, const struct store_instance *next)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "UPDATE machine SET journal = ?, counter = ?, start = ?, nonce = ?,"
	    " succession = ?, succession_before = ?"
	    " WHERE id = ? AND start = ? AND nonce = ?"
	    " AND succession IS NOT DISTINCT FROM ?");
	query_text(&q, next->journal);
	query_u64(&q, next->counter);
	query_u64(&q, next->start);
	query_text(&q, next->nonce);
	query_key(&q, next->succession, sizeof(next->succession));
	query_key(&q, next->succession_before, sizeof(next->succession_before));
	query_text(&q, machine);
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
	    "UPDATE machine SET counter = max(counter, ?)"
	    " WHERE id = ? AND journal = ?");
	query_u64(&q, counter);
	query_text(&q, machine);
	query_text(&q, journal);
	rc = query_change(&q);
	return rc == RC_NOTFOUND ? RC_STATE : rc;
}
