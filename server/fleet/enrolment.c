#include "server/fleet/enrolment.h"

#include "common/failpoint.h"
#include "common/log.h"
#include "common/seal.h"
#include "proto/lenframe.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 *   ASKED --enrol--> CHECKING --key--> WRITING --row--> TELLING --relays
 * know--+ |              (worker)          (SQL)            (or table_ms is
 * over)  |
 *     +------> any: fault, seal closed v answered, seal closed <--------
 * SIGNING (worker)
 */
enum enrol_state {
	ENROL_ASKED,
	ENROL_CHECKING,
	ENROL_WRITING,
	ENROL_TELLING,
	ENROL_SIGNING,
};

struct enrol {
	struct fleet_job job; /* WRITING */
	TAILQ_ENTRY(enrol) all;
	struct fleet *fleet; /* NULL: it has ended */
	struct seal *seal;   /* NULL: the joiner is gone */
	enum enrol_state state;
	struct loop_timer *timer; /* of the state */
	uint8_t csr[ENROL_CSR_MAX];
	size_t csr_len;
	struct path passed;
	struct fleet_signing signing; /* an operator's; done NULL: a joiner */
	struct store_token grant;     /* of that */
	struct enrol_rows rows;
	uint64_t mark; /* of its station: relays must know it */
	/* SIGNING: what the worker needs, and its answer. */
	struct ca_request request;
	const struct ca *agents;
	struct certs chain;
	struct fault fault;
	enum rc rc;
};

/* A worker or the SQL thread has it: it is freed when it comes back. */
static bool is_away(const struct enrol *e)
{
	return e->state == ENROL_CHECKING || e->state == ENROL_WRITING ||
	       e->state == ENROL_SIGNING;
}

static void destroy(struct enrol *e)
{
	enrol_rows_fini(&e->rows);
	store_token_clear(&e->grant);
	certs_fini(&e->chain);
	free(e);
}

/* Out of the fleet; freed now or when it comes back. */
static void leave(struct enrol *e, const struct fault *fault)
{
	struct fleet *f = e->fleet;

	if (f == NULL)
		return; /* it has left */
	if (e->signing.done != NULL)
		e->signing.done(
		    e->signing.arg, fault, "", (struct bytes){ NULL, 0 });
	e->signing.done = NULL;
	seal_close(e->seal, fault);
	e->seal = NULL;
	loop_timer_free(e->timer);
	e->timer = NULL;
	TAILQ_REMOVE(&f->enrols, e, all);
	f->enrol_count--;
	e->fleet = NULL;
	if (!is_away(e))
		destroy(e);
}

/* After coming back: is anybody left to answer? */
static bool came_back(struct enrol *e)
{
	if (e->fleet != NULL)
		return true;
	destroy(e);
	return false;
}

/* --- Answers ---------------------------------------------------------------
 */

static void refuse(struct enrol *e, const struct fault *fault)
{
	struct msg_fault refusal = { .fault = *fault };
	struct packbuf pack;
	enum rc rc;

	log_warn("enrol", e->rows.address, "refused: %s", fault->text);
	if (refusal.fault.at[0] == '\0')
		memcpy(refusal.fault.at, e->fleet->at, sizeof(e->fleet->at));
	if (e->signing.done != NULL) {
		leave(e, &refusal.fault);
		return;
	}
	packbuf_init(&pack, 4096);
	rc = msg_fault_encode(&refusal, &pack);
	if (rc == RC_OK)
		rc = seal_send(e->seal, packbuf_bytes(&pack));
	packbuf_fini(&pack);
	leave(e, rc == RC_OK ? NULL : &refusal.fault);
}

static void refuse_with(struct enrol *e, enum reason code, const char *text)
{
	struct fault fault;

	fault_set(&fault, code, "", "%s", text);
	refuse(e, &fault);
}

/* A person must approve it first: it keeps its key and asks again. */
static void ask_to_wait(struct enrol *e)
{
	const struct enrol_rows *rows = &e->rows;
	struct msg_pending m = { .retry_ms = e->fleet->settings->approval_ms };
	struct packbuf pack;
	enum rc rc;

	log_info_with("enrol", rows->waits_as,
	    LOG_FIELDS(LOG_TEXT("address", rows->address),
		LOG_TEXT("host", rows->hostname)),
	    "waits to be approved");
	memcpy(m.name, rows->waits_as, sizeof(m.name));
	packbuf_init(&pack, 1024);
	rc = msg_pending_encode(&m, &pack);
	if (rc == RC_OK)
		rc = seal_send(e->seal, packbuf_bytes(&pack));
	packbuf_fini(&pack);
	if (rc == RC_OK)
		leave(e, NULL);
	else
		refuse_with(e, REASON_INTERNAL, "cannot make the answer");
}

static MUST_CHECK enum rc send_enrolled(
    struct enrol *e, const struct station *t)
{
	const struct enrol_answer answer = {
		.fleet = e->fleet,
		.station = t,
		.chain = &e->chain,
		.succession =
		    e->rows.has_succession ? e->rows.succession : NULL,
	};
	struct packbuf pack;
	enum rc rc;

	packbuf_init(&pack, LENFRAME_ENROL_MAX);
	rc = enrol_encode(&answer, &pack);
	if (rc == RC_OK && e->signing.done != NULL)
		e->signing.done(
		    e->signing.arg, NULL, t->name, packbuf_bytes(&pack));
	else if (rc == RC_OK)
		rc = seal_send(e->seal, packbuf_bytes(&pack));
	if (rc == RC_OK)
		e->signing.done = NULL; /* told */
	if (pack.data != NULL)
		OPENSSL_cleanse(pack.data, pack.len);
	packbuf_fini(&pack);
	return rc;
}

/* --- Signing ---------------------------------------------------------------
 */

static struct station *station_of(const struct enrol *e)
{
	return station_find(e->fleet, e->rows.role, e->request.id.name);
}

static void sign(void *arg)
{
	struct enrol *e = arg;

	e->rc = ca_issue(e->agents, &e->request, &e->chain, &e->fault);
}

static void on_signed(void *arg)
{
	struct enrol *e = arg;
	struct station *t;

	if (!came_back(e))
		return;
	e->state = ENROL_ASKED; /* not away any more */
	t = station_of(e);
	if (e->rc != RC_OK) {
		refuse(e, &e->fault);
		return;
	}
	if (t == NULL) {
		refuse_with(e, REASON_NOT_FOUND, "was removed meanwhile");
		return;
	}
	failpoint("enrol.signed");
	if (send_enrolled(e, t) != RC_OK) {
		refuse_with(e, REASON_INTERNAL, "cannot make the answer");
		return;
	}
	failpoint("enrol.sent");
	peers_enrolled(t);
	log_info("enrol", t->name, "%s joined%s",
	    t->role == ROLE_RELAY ? "relay" : "machine",
	    e->rows.again ? " (again, same key)" : "");
	leave(e, NULL);
}

static void begin_signing(struct enrol *e)
{
	loop_timer_stop(e->timer);
	e->request.csr = e->csr;
	e->request.csr_len = e->csr_len;
	/* Clocks differ a little. */
	e->request.now_s = (int64_t)(fleet_wall_ms() / 1000) - TRUST_SKEW_S;
	e->request.life_s = e->fleet->settings->certificate_s + TRUST_SKEW_S;
	e->agents = e->fleet->parts.issuer.agents;
	e->state = ENROL_SIGNING;
	if (worker_submit(e->fleet->parts.pool, sign, on_signed, e) == RC_OK)
		return;
	e->state = ENROL_ASKED;
	refuse_with(e, REASON_TOO_MANY, "too much to do; try again later");
}

/* --- Relays first ----------------------------------------------------------
 */

/* Signs, refuses, or goes on waiting. */
static void go_on(struct enrol *e)
{
	const struct station *t = station_of(e);

	if (t == NULL)
		refuse_with(e, REASON_NOT_FOUND, "was removed meanwhile");
	else if (station_is_told(t, e->mark))
		begin_signing(e);
}

void enrols_check(struct fleet *f)
{
	struct enrol *e, *next;

	for (e = TAILQ_FIRST(&f->enrols); e != NULL; e = next) {
		next = TAILQ_NEXT(e, all);
		if (e->state == ENROL_TELLING)
			go_on(e);
	}
}

/* --- Rows ------------------------------------------------------------------
 */

static enum rc write_rows(struct db *db, struct store_job *job)
{
	struct enrol *e = CONTAINER_OF(job, struct enrol, job.job);

	return enrol_write_rows(db, &e->rows);
}

static void drop_job(struct fleet_job *job)
{
	destroy(CONTAINER_OF(job, struct enrol, job));
}

static void tell_relays(struct enrol *e)
{
	struct fleet *f = e->fleet;
	struct station *t;

	if (e->rows.role == ROLE_RELAY &&
	    station_note_routes(f, &e->rows.relay) != RC_OK)
		t = NULL;
	else if (e->rows.role == ROLE_RELAY)
		t = station_apply_relay(f, &e->rows.relay, &e->rows.instance);
	else
		t = station_apply_machine(
		    f, &e->rows.machine, &e->rows.instance);
	if (t == NULL) {
		refuse_with(e, REASON_MEMORY, "out of memory");
		return;
	}
	e->request.id.role = t->role;
	memcpy(e->request.id.name, t->id, sizeof(t->id));
	(void)snprintf(e->request.id.cluster, sizeof(e->request.id.cluster),
	    "%s", trust_cluster(f->parts.trust));
	e->mark = t->change->mark;
	e->state = ENROL_TELLING;
	loop_timer_set(e->timer, f->settings->table_ms);
	/* A relay that joined again revoked its old key. */
	if (t->role == ROLE_RELAY)
		fleet_changed(f, FLEET_RELAY, t->id);
	go_on(e);
}

static void wrote(struct fleet_job *job, enum rc rc)
{
	struct enrol *e = CONTAINER_OF(job, struct enrol, job);

	OPENSSL_cleanse(e->rows.secret, sizeof(e->rows.secret));
	/* The joiner left, but its row is there: it will come again. */
	if (e->fleet == NULL && rc == RC_OK && !e->rows.waits)
		fleet_changed(job->fleet,
		    e->rows.role == ROLE_RELAY ? FLEET_RELAY : FLEET_MACHINE,
		    e->rows.role == ROLE_RELAY ? e->rows.relay.name
					       : e->rows.machine.id);
	if (!came_back(e))
		return;
	e->state = ENROL_ASKED;
	failpoint("enrol.written");
	if (rc == RC_OK && e->rows.waits)
		ask_to_wait(e);
	else if (rc == RC_OK)
		tell_relays(e);
	else if (e->rows.fault.code != REASON_NONE)
		refuse(e, &e->rows.fault);
	else
		refuse_with(e, REASON_INTERNAL, rc_name(rc));
}

static void begin_writing(struct enrol *e)
{
	struct fleet *f = e->fleet;

	e->job.done = wrote;
	e->job.drop = drop_job;
	e->rows.now_ms = fleet_wall_ms();
	e->state = ENROL_WRITING;
	if (fleet_submit(f, &e->job, write_rows) == RC_OK)
		return;
	e->state = ENROL_ASKED;
	refuse_with(e, REASON_TOO_MANY, "too much to do; try again later");
}

/* --- The request -----------------------------------------------------------
 */

static void check_key(void *arg)
{
	struct enrol *e = arg;
	EVP_PKEY *key = NULL;

	e->rc = key_from_csr(e->csr, e->csr_len, &key, &e->fault);
	if (e->rc == RC_OK)
		e->rc = key_hash(key, e->rows.key_hash);
	EVP_PKEY_free(key);
}

static void on_checked(void *arg)
{
	struct enrol *e = arg;

	if (!came_back(e))
		return;
	e->state = ENROL_ASKED;
	if (e->rc == RC_OK)
		begin_writing(e);
	else if (e->fault.code != REASON_NONE)
		refuse(e, &e->fault);
	else
		refuse_with(e, REASON_INTERNAL, rc_name(e->rc));
}

static void begin_checking(struct enrol *e)
{
	e->state = ENROL_CHECKING;
	if (worker_submit(e->fleet->parts.pool, check_key, on_checked, e) ==
	    RC_OK)
		return;
	e->state = ENROL_ASKED;
	refuse_with(e, REASON_TOO_MANY, "too much to do; try again later");
}

static void copy_text(struct bytes from, char *to, size_t size)
{
	(void)snprintf(to, size, "%.*s", (int)from.len, (const char *)from.p);
}

static void keep(struct enrol *e, const struct msg_enrol *m)
{
	struct enrol_rows *rows = &e->rows;

	(void)snprintf(rows->token_id, sizeof(rows->token_id), "%.*s",
	    STORE_TOKEN_ID_SIZE - 1, m->token_id);
	rows->has_secret = m->secret.len == sizeof(rows->secret);
	if (rows->has_secret)
		memcpy(rows->secret, m->secret.p, sizeof(rows->secret));
	rows->role = m->role;
	copy_text(m->hostname, rows->hostname, sizeof(rows->hostname));
	copy_text(m->version, rows->version, sizeof(rows->version));
	memcpy(rows->listen, m->listen, sizeof(rows->listen));
	memcpy(e->csr, m->csr.p, m->csr.len);
	e->csr_len = m->csr.len;
	/* Relays added themselves on the way up; we look down. */
	for (size_t i = e->passed.count; i > 0; i--)
		if (path_append(&rows->path, e->passed.names[i - 1]) != RC_OK)
			break;
}

static void on_request(struct enrol *e, struct bytes message)
{
	struct msg_enrol m;
	struct fault fault;

	if (e->state != ENROL_ASKED || e->csr_len > 0)
		return; /* it has asked already */
	if (msg_enrol_decode(message, &m, &fault) != RC_OK) {
		refuse(e, &fault);
		return;
	}
	keep(e, &m);
	msg_enrol_clear(&m);
	begin_checking(e);
}

static void on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct enrol *e = arg;

	if (e->seal != seal)
		return;
	if (event->type == SEAL_MESSAGE) {
		on_request(e, event->message);
	} else if (event->type == SEAL_CLOSED) {
		log_info("enrol", e->rows.address, "the joiner left: %s",
		    event->fault->text);
		e->seal = NULL;
		leave(e, NULL);
	}
}

/* TELLING: go on without the relays; else: it took too long. */
static void on_timer(void *arg)
{
	struct enrol *e = arg;

	if (e->state == ENROL_TELLING) {
		log_warn("enrol", e->request.id.name,
		    "not all relays on its way have confirmed its route yet");
		begin_signing(e);
		return;
	}
	leave(e, &(struct fault){ .code = REASON_DEADLINE,
		     .text = "the enrolment took too long" });
}

/* --- The stream ------------------------------------------------------------
 */

/* The relay that it came through says so itself, last. */
static bool came_as_told(const struct link *link, const struct path *passed)
{
	const struct peer *peer = link_peer(link);

	if (peer->role != ROLE_RELAY)
		return passed->count == 0;
	return passed->count > 0 &&
	       strcmp(passed->names[passed->count - 1], peer->id.name) == 0;
}

static void turn_away(const struct fleet *f, struct link *link, uint32_t stream,
    enum reason code, const char *text)
{
	struct fault fault;

	fault_set(&fault, code, f->at, "server %s: %s", f->node, text);
	log_warn("enrol", link_label(link), "%s", fault.text);
	link_reset(link, stream, &fault, false);
}

static struct enrol *enrol_new(struct fleet *f, const char *address)
{
	struct enrol *e = calloc(1, sizeof(*e));

	if (e == NULL ||
	    loop_timer_new(f->parts.loop, on_timer, e, &e->timer) != RC_OK) {
		free(e);
		return NULL;
	}
	e->fleet = f;
	certs_init(&e->chain);
	(void)snprintf(e->rows.address, sizeof(e->rows.address), "%s", address);
	TAILQ_INSERT_TAIL(&f->enrols, e, all);
	f->enrol_count++;
	loop_timer_set(e->timer, f->settings->open_ms);
	return e;
}

void enrol_accept(struct fleet *f, struct link *link, uint32_t stream,
    const struct msg_open *open)
{
	struct enrol *e;
	struct seal_user user = {
		.fn = on_seal,
		.message_max = LENFRAME_ENROL_MAX,
		.open_ms = f->settings->open_ms,
	};

	if (!came_as_told(link, &open->passed)) {
		turn_away(f, link, stream, REASON_NO_ROUTE,
		    "the way of this enrolment is not told right");
		return;
	}
	if (f->enrol_count >= f->settings->enrols_max) {
		turn_away(f, link, stream, REASON_TOO_MANY,
		    "too many join at once; try again soon");
		return;
	}
	e = enrol_new(f, link_address(link));
	if (e == NULL) {
		turn_away(f, link, stream, REASON_MEMORY, "out of memory");
		return;
	}
	e->passed = open->passed;
	user.arg = e;
	if (seal_accept(link, stream, CLASS_HEALTH, TLS_ENROL_SERVER, &user,
		&e->seal) != RC_OK) {
		e->seal = NULL;
		leave(e, NULL);
	}
}

enum rc fleet_sign(struct fleet *f, const struct join_request *request,
    const struct fleet_signing *signing, struct store_token *grant)
{
	struct enrol *e;
	struct enrol_rows *rows;

	if (f->stopping || f->enrol_count >= f->settings->enrols_max)
		return RC_LIMIT;
	e = enrol_new(f, "a file");
	if (e == NULL)
		return RC_NOMEM;
	rows = &e->rows;
	e->signing = *signing;
	e->signing.who = NULL; /* not kept */
	e->grant = *grant;
	*grant = (struct store_token){ .uses_left = 0 };
	rows->grant = &e->grant;
	rows->role = request->role;
	(void)snprintf(rows->who, sizeof(rows->who), "%s", signing->who);
	memcpy(rows->hostname, request->hostname, sizeof(rows->hostname));
	memcpy(rows->version, request->version, sizeof(rows->version));
	memcpy(rows->listen, request->listen, sizeof(rows->listen));
	memcpy(e->csr, request->csr, request->csr_len);
	e->csr_len = request->csr_len;
	begin_checking(e);
	return RC_OK;
}

void enrols_free(struct fleet *f)
{
	struct fault fault;
	struct enrol *e, *next;

	fault_set(&fault, REASON_DRAINING, f->at, "the server is stopping");
	for (e = TAILQ_FIRST(&f->enrols); e != NULL; e = next) {
		next = TAILQ_NEXT(e, all);
		leave(e, &fault);
	}
}
