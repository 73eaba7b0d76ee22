#include "server/store/setting.h"

enum rc store_setting_get(
    struct db *db, const char *name, char **value, size_t *len)
{
	struct query q;
	uint8_t *bytes = NULL;
	enum rc rc;

	query_start(&q, db, "SELECT value FROM setting WHERE name = ?");
	query_text(&q, name);
	rc = query_step(&q);
	if (rc == RC_OK)
		rc = query_dup_blob(&q, 0, &bytes, len);
	query_end(&q);
	if (rc == RC_OK)
		*value = (char *)bytes;
	return rc;
}

static enum rc write_value(
    struct query *q, const char *name, const void *value, size_t len)
{
	query_text(q, name);
	query_blob(q, value, len);
	return query_run(q, NULL);
}

enum rc store_setting_set(
    struct db *db, const char *name, const void *value, size_t len)
{
	struct query q;

	query_start(&q, db,
	    "INSERT INTO setting(name, value) VALUES (?, ?)"
	    " ON CONFLICT (name) DO UPDATE SET value = excluded.value");
	return write_value(&q, name, value, len);
}

enum rc store_setting_add(
    struct db *db, const char *name, const void *value, size_t len)
{
	struct query q;

	query_start(&q, db, "INSERT INTO setting(name, value) VALUES (?, ?)");
	return write_value(&q, name, value, len);
}

enum rc store_sequence_next(struct db *db, const char *name, uint64_t *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db,
	    "INSERT INTO sequence(name, value) VALUES (?, 1)"
	    " ON CONFLICT (name) DO UPDATE SET value = value + 1"
	    " RETURNING value");
	query_text(&q, name);
	rc = query_step(&q);
	if (rc == RC_OK) {
		*out = query_get_u64(&q, 0);
		return query_run(&q, NULL);
	}
	query_end(&q);
	return rc == RC_NOTFOUND ? RC_IO : rc;
}

enum rc store_sequence_last(struct db *db, const char *name, uint64_t *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, "SELECT value FROM sequence WHERE name = ?");
	query_text(&q, name);
	rc = query_step(&q);
	*out = rc == RC_OK ? query_get_u64(&q, 0) : 0;
	query_end(&q);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}
