#include "server/ca/rotation.h"

#include "common/secret.h"
#include "server/ca/ca_files.h"
#include "server/ca/https_cert.h"
#include "server/ca/rotation_make.h"
#include "server/store/setting.h"
#include "server/store/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEFT_OUT_MAX  500   /* names that are noted */
#define LEFT_OUT_SIZE 65536 /* bytes; as in the schema */

/* ---- what is there ---- */

static MUST_CHECK enum rc load_root(
    const struct rotation_order *o, struct ca **out, struct fault *fault)
{
	return o->root_key.len > 0
	           ? ca_files_load_with(
			 o->state, "root", o->root_key, out, fault)
	           : ca_files_load(o->state, "root", out, fault);
}

static MUST_CHECK enum rc hash_of_file(const char *state, const char *file,
    uint8_t out[KEY_HASH_SIZE], struct fault *fault)
{
	struct certs certs;
	enum rc rc;

	certs_init(&certs);
	rc = ca_files_certs(state, file, &certs, fault);
	if (rc == RC_OK)
		rc = certs_key_hash(certs.cert[0], out);
	certs_fini(&certs);
	return rc;
}

/* What is trusted now: of the last rotation, or the root alone. */
static MUST_CHECK enum rc trusted_now(const struct store_rotation *last,
    const struct ca *root, struct trust_bundle *out, struct fault *fault)
{
	struct certs roots;
	enum rc rc;

	*out = (struct trust_bundle){ .number = 0 };
	certs_init(&roots);
	rc = certs_add(&roots, ca_chain(root)->cert[0]);
	if (rc == RC_OK && last->id == 0)
		rc = certs_copy(&out->roots, &roots);
	else if (rc == RC_OK)
		rc = trust_bundle_verify(ca_cluster(root), &roots,
		    bytes_of(last->bundle_after.data, last->bundle_after.len),
		    out, fault);
	certs_fini(&roots);
	return rc;
}

/* ---- a new one ---- */

/* A chain as PEM, and the key wrapped: for the database. */
static MUST_CHECK enum rc keep_agents(const struct rotation_order *o,
    const struct ca *agents, struct store_rotation *r)
{
	char pem[KEY_PEM_MAX], *chain = NULL;
	size_t len = 0, chain_len = 0;
	uint8_t *wrapped = malloc(KEY_PEM_MAX + WRAP_OVERHEAD);
	enum rc rc = wrapped != NULL ? ca_key_pem(agents, pem, &len) : RC_NOMEM;

	if (rc == RC_OK)
		rc = wrap_seal(o->master, SETTING_AGENTS_KEY,
		    (const uint8_t *)pem, len, wrapped);
	if (rc == RC_OK)
		rc = certs_pem(ca_chain(agents), &chain, &chain_len);
	secret_wipe(pem, sizeof(pem));
	if (rc != RC_OK) {
		free(wrapped);
		return rc;
	}
	r->agents_key = (struct rotation_blob){ wrapped, len + WRAP_OVERHEAD };
	r->agents_chain = (struct rotation_blob){ (uint8_t *)chain, chain_len };
	return RC_OK;
}

static MUST_CHECK enum rc prepare_https(const struct rotation_order *o,
    const struct ca *root, const struct rotation_made *made,
    struct fault *fault)
{
	const struct https_wish wish = { .state = o->state,
		.root = root,
		.next = made->root,
		.above = &made->above,
		.now_s = (int64_t)(o->now_ms / 1000) - TRUST_SKEW_S };
	struct certs chain;
	enum rc rc;

	certs_init(&chain);
	rc = https_cert_issue(&wish, &chain, fault);
	if (rc == RC_OK)
		rc = ca_files_prepare_certs(
		    o->state, "https.crt", &chain, fault);
	certs_fini(&chain);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static MUST_CHECK enum rc prepare_files(const struct rotation_order *o,
    const struct ca *root, const struct rotation_made *made,
    struct fault *fault)
{
	enum rc rc = ca_files_begin(o->state, fault);

	if (rc == RC_OK && made->agents != NULL)
		rc = ca_files_prepare(
		    o->state, "agents", made->agents, false, fault);
	if (rc == RC_OK && made->nodes != NULL)
		rc = ca_files_prepare(
		    o->state, "nodes", made->nodes, true, fault);
	if (rc == RC_OK && made->root != NULL)
		rc =
		    ca_files_prepare(o->state, "root", made->root, true, fault);
	if (rc == RC_OK && made->root != NULL)
		rc = prepare_https(o, root, made, fault);
	return rc;
}

static MUST_CHECK enum rc copy_blob(struct bytes from, struct rotation_blob *to)
{
	to->data = malloc(from.len);
	if (to->data == NULL)
		return RC_NOMEM;
	memcpy(to->data, from.p, from.len);
	to->len = from.len;
	return RC_OK;
}

static MUST_CHECK enum rc fill_row(const struct rotation_order *o,
    const struct rotation_made *made, struct store_rotation *r)
{
	enum rc rc;

	*r = (struct store_rotation){ .kind = o->kind,
		.phase =
		    made->root != NULL ? ROTATION_SPREADING : ROTATION_ISSUING,
		.started_ms = o->now_ms,
		.changed_ms = o->now_ms,
		.number = made->number };
	(void)snprintf(r->who, sizeof(r->who), "%s", o->who);
	memcpy(r->agents, made->agents_hash, sizeof(r->agents));
	memcpy(r->nodes, made->nodes_hash, sizeof(r->nodes));
	rc = copy_blob(packbuf_bytes(&made->during), &r->bundle_during);
	if (rc == RC_OK)
		rc = copy_blob(packbuf_bytes(&made->after), &r->bundle_after);
	if (rc == RC_OK && made->agents != NULL)
		rc = keep_agents(o, made->agents, r);
	return rc;
}

/* The server signs by the new ones from the commit on; lists of revoked keys
 * too, with new numbers, so that all ask for them. */
static MUST_CHECK enum rc enter_issuing(
    struct db *db, const struct store_rotation *r)
{
	uint64_t number;
	enum rc rc = RC_OK;

	if (r->agents_key.len > 0)
		rc = store_setting_set(db, SETTING_AGENTS_KEY,
		    r->agents_key.data, r->agents_key.len);
	if (rc == RC_OK && r->agents_key.len > 0)
		rc = store_setting_set(db, SETTING_AGENTS_CHAIN,
		    r->agents_chain.data, r->agents_chain.len);
	if (rc == RC_OK && r->agents_key.len > 0)
		rc = store_revocations_next(db, false, &number);
	if (rc == RC_OK && r->kind != ROTATION_AGENTS)
		rc = store_revocations_next(db, true, &number);
	return rc;
}

static MUST_CHECK enum rc make_row(const struct rotation_order *o,
    const struct store_rotation *last, struct store_rotation *r,
    struct fault *fault)
{
	struct trust_bundle now = { .number = 0 };
	struct rotation_wish wish = { .kind = o->kind,
		.now = &now,
		/* Clocks differ a little. */
		.now_s = (int64_t)(o->now_ms / 1000) - TRUST_SKEW_S };
	struct rotation_made made = { .root = NULL };
	struct ca *root = NULL;
	enum rc rc = load_root(o, &root, fault);

	wish.root = root;
	if (rc == RC_OK)
		rc = trusted_now(last, root, &now, fault);
	if (rc == RC_OK)
		rc = hash_of_file(o->state, "agents.crt", wish.agents, fault);
	if (rc == RC_OK)
		rc = hash_of_file(o->state, "nodes.crt", wish.nodes, fault);
	if (rc == RC_OK)
		rc = rotation_make(&wish, &made, fault);
	if (rc == RC_OK)
		rc = prepare_files(o, root, &made, fault);
	if (rc == RC_OK)
		rc = fill_row(o, &made, r);
	rotation_made_fini(&made);
	certs_fini(&now.roots);
	ca_free(root);
	return rc;
}

static MUST_CHECK enum rc begin(struct db *db, const struct rotation_order *o,
    const struct store_rotation *last, struct fault *fault)
{
	struct store_rotation r = { .id = 0 };
	enum rc rc = make_row(o, last, &r, fault);

	if (rc == RC_OK)
		rc = store_rotation_add(db, &r);
	if (rc == RC_OK && r.phase == ROTATION_ISSUING)
		rc = enter_issuing(db, &r);
	store_rotation_clear(&r);
	return rc;
}

/* ---- on ---- */

struct rotation_goal rotation_goal(const struct store_rotation *r)
{
	struct rotation_goal goal = { 0, NULL };

	if (r->phase == ROTATION_SPREADING || r->kind == ROTATION_ROOT)
		goal.bundle = r->number;
	if (r->phase == ROTATION_ISSUING)
		goal.authority = r->agents;
	return goal;
}

enum rc rotation_missing(struct db *db, const struct store_rotation *r,
    size_t limit, struct store_missing **rows, size_t *row_count,
    uint64_t *count)
{
	const struct rotation_goal goal = rotation_goal(r);

	*rows = NULL;
	*row_count = 0;
	*count = 0;
	if (r->phase == ROTATION_DONE || r->kind == ROTATION_NODES)
		return RC_OK;
	return store_rotation_missing(db, &goal, limit, rows, row_count, count);
}

static MUST_CHECK enum rc move_on(struct db *db, const struct store_rotation *r,
    const char *left_out, uint64_t now_ms)
{
	const struct rotation_step step = { .id = r->id,
		.from = r->phase,
		.to = r->phase == ROTATION_SPREADING ? ROTATION_ISSUING
		                                     : ROTATION_DONE,
		.left_out = left_out,
		.now_ms = now_ms };
	enum rc rc = store_rotation_move(db, &step);

	return rc == RC_OK && step.to == ROTATION_ISSUING ? enter_issuing(db, r)
	                                                  : rc;
}

/* "relay dc2-a\nmachine web-03\n" */
static char *name_them(
    const struct store_missing *rows, size_t row_count, uint64_t count)
{
	char *text = calloc(1, LEFT_OUT_SIZE);
	size_t len = 0;

	for (size_t i = 0; text != NULL && i < row_count; i++)
		len +=
		    (size_t)snprintf(text + len, LEFT_OUT_SIZE - len, "%s %s\n",
			rows[i].role == STORE_ROLE_RELAY ? "relay" : "machine",
			rows[i].name);
	if (text != NULL && count > row_count)
		(void)snprintf(text + len, LEFT_OUT_SIZE - len,
		    "and %llu more\n", (unsigned long long)(count - row_count));
	return text;
}

static MUST_CHECK enum rc force_on(
    struct db *db, const struct store_rotation *r, uint64_t now_ms)
{
	struct store_missing *rows = NULL;
	size_t row_count = 0;
	uint64_t count = 0;
	char *names = NULL;
	enum rc rc =
	    rotation_missing(db, r, LEFT_OUT_MAX, &rows, &row_count, &count);

	/* Who is missing while the root is told may still come later. */
	if (rc == RC_OK && r->phase == ROTATION_ISSUING) {
		names = name_them(rows, row_count, count);
		if (names == NULL)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = move_on(db, r, names, now_ms);
	free(names);
	free(rows);
	return rc;
}

enum rc rotation_order(
    struct db *db, const struct rotation_order *order, struct fault *fault)
{
	struct store_rotation last = { .id = 0 };
	enum rc rc = store_rotation_last(db, &last);

	if (rc == RC_NOTFOUND)
		rc = RC_OK;
	if (rc != RC_OK)
		return db_fault(db, rc, fault, "rotation");
	if (last.id == 0 || last.phase == ROTATION_DONE) {
		rc = begin(db, order, &last, fault);
	} else if (last.kind != order->kind) {
		fault_set(fault, REASON_CONFLICT, "",
		    "a rotation of %s is under way (%s): let it end first, or "
		    "end it by: longarm ca rotate %s --force",
		    rotation_kind_name(last.kind),
		    rotation_phase_name(last.phase),
		    rotation_kind_name(last.kind));
		rc = RC_STATE;
	} else if (order->force) {
		rc = force_on(db, &last, order->now_ms);
	}
	store_rotation_clear(&last);
	return db_fault(db, rc, fault, "rotation");
}

static MUST_CHECK enum rc may_end(struct db *db, const struct store_rotation *r,
    uint64_t now_ms, uint64_t settle_ms, bool *out)
{
	struct store_missing *rows = NULL;
	size_t row_count = 0;
	uint64_t count = 0, last_ms = r->changed_ms, moved_ms = 0;
	enum rc rc = rotation_missing(db, r, 0, &rows, &row_count, &count);

	free(rows);
	*out = rc == RC_OK && count == 0;
	if (!*out || r->phase == ROTATION_SPREADING)
		return rc;
	rc = store_member_trust_last(db, &moved_ms);
	if (moved_ms > last_ms)
		last_ms = moved_ms;
	*out = rc == RC_OK && now_ms >= last_ms + settle_ms;
	return rc;
}

enum rc rotation_tick(
    struct db *db, uint64_t now_ms, uint64_t settle_ms, bool *moved)
{
	struct store_rotation last;
	enum rc rc = store_rotation_last(db, &last);

	*moved = false;
	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_OK : rc;
	if (last.phase != ROTATION_DONE)
		rc = may_end(db, &last, now_ms, settle_ms, moved);
	if (rc == RC_OK && *moved)
		rc = move_on(db, &last, NULL, now_ms);
	store_rotation_clear(&last);
	return rc;
}
