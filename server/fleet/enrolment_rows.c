#include "common/random.h"
#include "server/fleet/enrolment.h"
#include "server/store/audit.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

/* web-01, web-01-2, ... */
#define NAME_TRIES 1000

static enum store_role store_role_of(const struct enrol_rows *e)
{
	return e->role == ROLE_RELAY ? STORE_ROLE_RELAY : STORE_ROLE_TENTACLE;
}

void enrol_rows_fini(struct enrol_rows *rows)
{
	OPENSSL_cleanse(rows->secret, sizeof(rows->secret));
	OPENSSL_cleanse(rows->succession, sizeof(rows->succession));
	store_machine_clear(&rows->machine);
}

/* --- Names -----------------------------------------------------------------
 */

void enrol_base_name(const char *hostname, char out[NAME_SIZE])
{
	size_t len = 0;

	for (; *hostname != '\0' && len < NAME_LEN_MAX; hostname++) {
		char c = *hostname;
		bool letter = (c >= 'a' && c <= 'z') ||
		              (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		bool mark = c == '.' || c == '_' || c == '-';

		if (letter || (mark && len > 0))
			out[len++] = c;
		else if (len > 0)
			out[len++] = '-';
	}
	out[len] = '\0';
	if (len == 0)
		(void)snprintf(out, NAME_SIZE, "machine");
}

static MUST_CHECK enum rc is_taken(struct db *db, const char *name, bool *taken)
{
	struct store_machine other = { .facts = NULL };
	enum rc rc = store_machine_get(db, name, &other, NULL);

	*taken = rc == RC_OK;
	store_machine_clear(&other);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static MUST_CHECK enum rc free_name(
    struct db *db, const char *base, char out[NAME_SIZE], struct fault *fault)
{
	(void)snprintf(out, NAME_SIZE, "%s", base);
	for (unsigned i = 2; i < NAME_TRIES; i++) {
		bool taken;
		enum rc rc = is_taken(db, out, &taken);

		if (rc != RC_OK || !taken)
			return rc;
		(void)snprintf(out, NAME_SIZE, "%.57s-%u", base, i);
	}
	fault_set(fault, REASON_CONFLICT, "",
	    "there are too many machines called %s; give the token a name",
	    base);
	return RC_DENIED;
}

static bool is_waiting(const struct store_machine *m)
{
	static const uint8_t none[STORE_SHA256_SIZE];

	return memcmp(m->spki, none, sizeof(none)) == 0;
}

/* *waits: the machine's row was added before it joined, and is in e now. */
static MUST_CHECK enum rc choose_name(struct db *db, struct enrol_rows *e,
    const struct store_token *token, bool *waits)
{
	char base[NAME_SIZE];
	enum rc rc;

	*waits = false;
	if (token->name[0] == '\0') {
		enrol_base_name(e->hostname, base);
		return free_name(db, base, e->machine.name, &e->fault);
	}
	rc = store_machine_get(db, token->name, &e->machine, NULL);
	*waits = rc == RC_OK && is_waiting(&e->machine);
	if (rc == RC_OK && !*waits) {
		fault_set(&e->fault, REASON_CONFLICT, "",
		    "there is a machine called %s already; remove it first, or "
		    "use a token without a name",
		    token->name);
		return RC_DENIED;
	}
	if (rc == RC_NOTFOUND) {
		(void)snprintf(e->machine.name, sizeof(e->machine.name), "%s",
		    token->name);
		return RC_OK;
	}
	return rc;
}

/* --- Routes ----------------------------------------------------------------
 */

/* Somebody shall dial this: it must name one host. */
static MUST_CHECK enum rc check_listen(struct enrol_rows *e)
{
	struct endpoint endpoint;

	if (e->listen[0] == '\0')
		return RC_OK;
	if (endpoint_parse(e->listen, 0, &endpoint, &e->fault) != RC_OK)
		return RC_DENIED;
	if (strcmp(endpoint.host, "0.0.0.0") != 0 &&
	    strcmp(endpoint.host, "::") != 0)
		return RC_OK;
	fault_set(&e->fault, REASON_BAD_CONFIG, "",
	    "%s is no address that can be dialled: name the address under "
	    "which this machine is reached",
	    e->listen);
	return RC_DENIED;
}

/* The token's routes; without any, the way that it came. */
static size_t choose_routes(const struct enrol_rows *e,
    const struct store_token *token, struct store_route *routes)
{
	size_t count = token->route_count;

	memcpy(routes, token->routes, count * sizeof(*routes));
	if (count == 0) {
		memset(routes, 0, sizeof(*routes));
		path_format(&e->path, routes[0].path);
		count = 1;
	}
	/* One that says where it can be dialled does not dial itself. */
	for (size_t i = 0; i < count; i++) {
		if (routes[i].endpoint[0] == '\0')
			(void)snprintf(routes[i].endpoint,
			    sizeof(routes[i].endpoint), "%s", e->listen);
	}
	return count;
}

/* --- Rows ------------------------------------------------------------------
 */

/* The first of its life comes with the certificate. */
static MUST_CHECK enum rc give_succession(struct db *db, struct enrol_rows *e)
{
	static const uint8_t none[SUCCESSION_LEN];
	struct store_instance next;
	const struct store_member of = { STORE_ROLE_TENTACLE, e->machine.id };
	enum rc rc = store_instance_get(db, &of, &e->instance);

	if (rc != RC_OK || e->instance.nonce[0] != '\0')
		return rc; /* it greeted already, and keeps its own */
	memcpy(e->succession, e->instance.succession, sizeof(e->succession));
	e->has_succession = memcmp(e->succession, none, sizeof(none)) != 0;
	if (e->has_succession)
		return RC_OK; /* the same again: it may have that already */
	random_bytes(e->succession, sizeof(e->succession));
	next = e->instance;
	memcpy(next.succession, e->succession, sizeof(next.succession));
	rc = store_instance_swap(db, &of, &e->instance, &next);
	if (rc != RC_OK)
		return rc;
	e->instance = next;
	e->has_succession = true;
	return RC_OK;
}

static bool has_name(const struct names *all, const char *name)
{
	for (size_t i = 0; i < all->count; i++) {
		if (strcmp(all->at[i], name) == 0)
			return true;
	}
	return false;
}

/*
 * What was given when it was added counts.  Who made the token must have been
 * entitled to all of its environments: their secrets go there.
 */
static MUST_CHECK enum rc take_waiting(
    struct db *db, struct enrol_rows *e, struct store_token *token)
{
	struct store_machine *m = &e->machine;
	enum rc rc;

	for (size_t i = 0; i < m->environments.count; i++) {
		if (has_name(&token->environments, m->environments.at[i]))
			continue;
		fault_set(&e->fault, REASON_TOKEN, "",
		    "machine %s waits in environment %s, which token %s does "
		    "not name",
		    m->name, m->environments.at[i], token->id);
		return RC_DENIED;
	}
	if (m->route_count > 0) {
		memcpy(token->routes, m->routes,
		    m->route_count * sizeof(*m->routes));
		token->route_count = m->route_count;
	}
	m->route_count = choose_routes(e, token, m->routes);
	memcpy(m->spki, e->key_hash, sizeof(m->spki));
	m->hold[0] = '\0';
	rc = store_machine_set_spki(db, m->id, m->spki);
	if (rc == RC_OK)
		rc = store_instance_forget(
		    db, &(struct store_member){ STORE_ROLE_TENTACLE, m->id });
	if (rc == RC_OK)
		rc = store_machine_set_routes(db, m->id, m->routes,
		    m->route_count, &m->route_seq, &e->fault);
	return rc;
}

static MUST_CHECK enum rc make_machine(
    struct db *db, struct enrol_rows *e, struct store_token *token)
{
	struct store_machine *m = &e->machine;
	bool waits;
	enum rc rc = choose_name(db, e, token, &waits);

	if (rc != RC_OK)
		return rc;
	if (waits)
		return take_waiting(db, e, token);
	random_hex(m->id, ID_BYTES);
	m->enabled = true;
	m->created_ms = e->now_ms;
	memcpy(m->spki, e->key_hash, sizeof(m->spki));
	memcpy(m->version, e->version, sizeof(m->version));
	m->route_count = choose_routes(e, token, m->routes);
	/* Moved: the token's lists are the machine's now. */
	m->environments = token->environments;
	m->roles = token->roles;
	token->environments = token->roles = (struct names){ .count = 0 };
	return store_machine_create(db, m, &e->fault);
}

/* A relay that lost its disk joins again under its name, with a new key; the
 * old one is valid no more. */
static MUST_CHECK enum rc renew_relay(struct db *db, struct enrol_rows *e)
{
	struct store_relay *r = &e->relay;
	const struct store_revoke_key old = {
		.role = STORE_ROLE_RELAY,
		.name = r->name,
		.reason = "joined again with a new key",
		.spki = r->spki,
		.now_ms = e->now_ms,
	};
	enum rc rc = store_revoke_key(db, &old);

	if (rc == RC_OK)
		rc = store_relay_set_spki(db, r->name, e->key_hash);
	if (rc == RC_OK)
		rc = store_instance_forget(
		    db, &(struct store_member){ STORE_ROLE_RELAY, r->name });
	r->hold[0] = '\0';
	memcpy(r->spki, e->key_hash, sizeof(r->spki));
	return rc;
}

static MUST_CHECK enum rc make_relay(
    struct db *db, struct enrol_rows *e, const struct store_token *token)
{
	struct store_relay *r = &e->relay;
	enum rc rc;

	if (token->name[0] == '\0') {
		fault_set(&e->fault, REASON_TOKEN, "",
		    "token %s: names no relay", token->id);
		return RC_DENIED;
	}
	rc = store_relay_get(db, token->name, r, NULL);
	if (rc == RC_OK)
		return renew_relay(db, e);
	if (rc != RC_NOTFOUND)
		return rc;
	*r = (struct store_relay){ .enabled = true, .created_ms = e->now_ms };
	memcpy(r->name, token->name, sizeof(r->name));
	memcpy(r->version, e->version, sizeof(r->version));
	memcpy(r->spki, e->key_hash, sizeof(r->spki));
	(void)snprintf(r->listen, sizeof(r->listen), "%s", e->listen);
	r->route_count = choose_routes(e, token, r->routes);
	return store_relay_create(db, r, &e->fault);
}

/* A certificate may have expired; longer ago than this, a person decides. */
#define LATE_MS (30ULL * 24 * 3600 * 1000)

static bool is_late(
    const struct enrol_rows *e, const struct store_enrolment *known)
{
	const uint64_t life_ms = (uint64_t)CA_AGENT_LIFE_S * 1000;

	return e->now_ms >= known->at_ms + life_ms + LATE_MS;
}

/* The same key again: the same identity, without a token. */
static MUST_CHECK enum rc answer_again(
    struct db *db, struct enrol_rows *e, const struct store_enrolment *known)
{
	enum rc rc;

	e->again = true;
	if (known->role != store_role_of(e)) {
		fault_set(&e->fault, REASON_NOT_PERMITTED, "",
		    "this key has joined as a %s",
		    store_role_name(known->role));
		return RC_DENIED;
	}
	if (e->role == ROLE_RELAY)
		rc = store_relay_get(db, known->id, &e->relay, NULL);
	else
		rc = store_machine_get(db, known->id, &e->machine, NULL);
	if (rc == RC_NOTFOUND) {
		fault_set(&e->fault, REASON_NOT_FOUND, "",
		    "%s was removed by an operator; join anew with a fresh "
		    "state directory",
		    e->role == ROLE_RELAY ? "this relay" : "this machine");
		return RC_DENIED;
	}
	if (rc == RC_OK && is_late(e, known))
		rc = enrol_admit_late(db, e,
		    e->role == ROLE_RELAY ? e->relay.name : e->machine.name);
	if (rc == RC_OK && !e->waits)
		rc = store_enrolment_renewed(db, e->key_hash, e->now_ms);
	return rc;
}

static MUST_CHECK enum rc note(
    struct db *db, const struct enrol_rows *e, const char *token)
{
	struct store_audit audit = { .at_ms = e->now_ms };
	bool relay = e->role == ROLE_RELAY;

	if (e->grant != NULL)
		(void)snprintf(audit.who, sizeof(audit.who), "%s", e->who);
	else
		(void)snprintf(audit.who, sizeof(audit.who), "token %s", token);
	(void)snprintf(audit.from, sizeof(audit.from), "%s", e->address);
	(void)snprintf(audit.action, sizeof(audit.action), "%s.enrol",
	    relay ? "relay" : "machine");
	(void)snprintf(audit.object, sizeof(audit.object), "%s %s",
	    relay ? "relay" : "machine",
	    relay ? e->relay.name : e->machine.name);
	return store_audit_add(db, &audit);
}

static MUST_CHECK enum rc join_anew(struct db *db, struct enrol_rows *e)
{
	struct store_enrolment enrolment = {
		.role = store_role_of(e),
		.at_ms = e->now_ms,
	};
	struct store_token token = { .uses_left = 0 };
	enum rc rc = check_listen(e);

	if (rc == RC_OK && e->grant != NULL) {
		token = *e->grant;
		*e->grant = (struct store_token){ .uses_left = 0 };
	} else if (rc == RC_OK) {
		rc = enrol_admit(db, e, &token);
	}
	if (rc != RC_OK || e->waits)
		goto out;
	rc = e->role == ROLE_RELAY ? make_relay(db, e, &token)
	                           : make_machine(db, e, &token);
	if (rc == RC_OK) {
		memcpy(enrolment.spki, e->key_hash, sizeof(enrolment.spki));
		memcpy(enrolment.token, token.id, sizeof(enrolment.token));
		(void)snprintf(enrolment.id, sizeof(enrolment.id), "%s",
		    e->role == ROLE_RELAY ? e->relay.name : e->machine.id);
		rc = store_enrolment_add(db, &enrolment, &e->fault);
	}
	if (rc == RC_OK)
		rc = note(db, e, token.id);
out:
	store_token_clear(&token);
	return rc;
}

enum rc enrol_write_rows(struct db *db, struct enrol_rows *rows)
{
	struct enrol_rows *e = rows;
	struct store_enrolment known;
	bool revoked = true;
	enum rc rc = store_revoked(db, e->key_hash, &revoked);

	if (rc == RC_OK && revoked) {
		fault_set(&e->fault, REASON_REVOKED, "",
		    "this key was revoked; join anew with a fresh state "
		    "directory");
		return RC_DENIED;
	}
	if (rc == RC_OK)
		rc = store_enrolment_get(db, e->key_hash, &known);
	if (rc == RC_OK)
		rc = answer_again(db, e, &known);
	else if (rc == RC_NOTFOUND)
		rc = join_anew(db, e);
	if (rc == RC_OK && e->role == ROLE_TENTACLE && !e->waits)
		rc = give_succession(db, e);
	/* A relay's first token comes with its first greet. */
	if (rc == RC_OK && e->role == ROLE_RELAY && !e->waits)
		rc = store_instance_get(db,
		    &(struct store_member){ STORE_ROLE_RELAY, e->relay.name },
		    &e->instance);
	return rc;
}
