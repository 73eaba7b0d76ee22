#include "server/store/migrate.h"
#include "server/store/schema.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define SHA256_SIZE 32

static const struct migration ours[] = {
	{ "first schema", schema_001 },
	{ "rotation of authorities", schema_002 },
	{ "copies of machines", schema_003 },
	{ "joins that wait for approval", schema_004 },
	{ "routes of relays", schema_005 },
	{ "what scripts say", schema_006 },
	{ "keys of servers", schema_007 },
	{ "attempts and decisions", schema_008 },
	{ "copies of relays", schema_009 },
	{ "terms", schema_010 },
};

const struct migration *migrations(uint32_t *count)
{
	*count = sizeof(ours) / sizeof(ours[0]);
	return ours;
}

static enum rc hash_of(const struct migration *m, uint8_t out[SHA256_SIZE])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	enum rc rc = RC_CRYPTO;
	unsigned len = 0;

	if (md == NULL)
		return RC_NOMEM;
	if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		goto out;
	for (size_t i = 0; m->statements[i] != NULL; i++) {
		const char *sql = m->statements[i];

		if (EVP_DigestUpdate(md, sql, strlen(sql)) != 1)
			goto out;
	}
	if (EVP_DigestFinal_ex(md, out, &len) == 1 && len == SHA256_SIZE)
		rc = RC_OK;
out:
	EVP_MD_CTX_free(md);
	return rc;
}

enum rc migrate_version(struct db *db, uint32_t *out)
{
	struct query q;
	enum rc rc;

	query_start(&q, db, "PRAGMA user_version");
	rc = query_step(&q);
	if (rc == RC_OK)
		*out = (uint32_t)query_get_u64(&q, 0);
	query_end(&q);
	return rc;
}

static enum rc compare(
    struct db *db, const struct migration *m, uint32_t number, struct fault *f)
{
	uint8_t want[SHA256_SIZE], have[SHA256_SIZE];
	struct query q;
	enum rc rc = hash_of(m, want);

	if (rc != RC_OK)
		return rc;
	query_start(&q, db, "SELECT sha256 FROM migration WHERE number = ?");
	query_int(&q, number);
	rc = query_step(&q);
	if (rc == RC_OK)
		query_copy_blob(&q, 0, have, sizeof(have));
	query_end(&q);
	if (rc == RC_OK && memcmp(want, have, SHA256_SIZE) == 0)
		return RC_OK;
	if (rc != RC_OK && rc != RC_NOTFOUND)
		return rc;
	fault_set(f, REASON_VERSION, "",
	    "database: its migration %u (%s) is not the one that this program "
	    "knows; use the program that made it",
	    number, m->name);
	return RC_STATE;
}

static enum rc record(struct db *db, const struct migration *m, uint32_t number)
{
	uint8_t sha256[SHA256_SIZE];
	char pragma[64];
	struct query q;
	enum rc rc = hash_of(m, sha256);

	if (rc != RC_OK)
		return rc;
	query_start(&q, db,
	    "INSERT INTO migration(number, name, sha256) VALUES (?, ?, ?)");
	query_int(&q, number);
	query_text(&q, m->name);
	query_blob(&q, sha256, sizeof(sha256));
	rc = query_run(&q, NULL);
	if (rc != RC_OK)
		return rc;
	(void)snprintf(
	    pragma, sizeof(pragma), "PRAGMA user_version=%u", number);
	return db_exec(db, pragma);
}

static enum rc apply(struct db *db, const struct migration *m, uint32_t number)
{
	enum rc rc = db_exec(db, "BEGIN IMMEDIATE");

	for (size_t i = 0; rc == RC_OK && m->statements[i] != NULL; i++)
		rc = db_exec(db, m->statements[i]);
	if (rc == RC_OK)
		rc = record(db, m, number);
	if (rc == RC_OK)
		rc = db_exec(db, "COMMIT");
	/* Keep the first error's text for the fault: no call after it. */
	return rc;
}

static enum rc copy_to(struct db *db, const char *path)
{
	struct query q;

	query_start(&q, db, "VACUUM INTO ?");
	query_text(&q, path);
	return query_run(&q, NULL);
}

/* What was applied before is what we know under these numbers. */
static enum rc check_applied(struct db *db, const struct migration *steps,
    uint32_t count, uint32_t version, struct fault *fault)
{
	enum rc rc = RC_OK;

	if (version > count) {
		fault_set(fault, REASON_VERSION, "",
		    "database: has schema %u, this program knows up to %u; "
		    "use the newer program, or restore a backup",
		    version, count);
		return RC_STATE;
	}
	for (uint32_t i = 0; rc == RC_OK && i < version; i++)
		rc = compare(db, &steps[i], i + 1, fault);
	return rc;
}

enum rc migrate(struct db *db, const struct migration *steps, uint32_t count,
    const char *backup, struct fault *fault)
{
	uint32_t version = 0;
	enum rc rc = migrate_version(db, &version);

	if (rc == RC_OK)
		rc = check_applied(db, steps, count, version, fault);
	if (rc != RC_OK || version == count)
		return db_fault(db, rc, fault, "database");
	if (version > 0 && backup != NULL)
		rc = copy_to(db, backup);
	if (rc == RC_OK)
		rc = db_exec(db,
		    "CREATE TABLE IF NOT EXISTS migration ("
		    " number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
		    " sha256 BLOB NOT NULL) STRICT");
	for (uint32_t i = version; rc == RC_OK && i < count; i++) {
		rc = apply(db, &steps[i], i + 1);
		if (rc != RC_OK)
			(void)db_fault(db, rc, fault, "migration %u", i + 1);
	}
	if (rc != RC_OK) {
		(void)db_fault(db, rc, fault, "migration");
		db_rollback(db);
	}
	return rc;
}
