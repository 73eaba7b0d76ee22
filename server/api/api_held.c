/* api_held.c - machines and relays that are held, and how they are released. */
#include "server/api/held.h"

#include "server/api/routes.h"
#include "server/api/wire.h"
#include "server/store/instance.h"

#include <stdio.h>
#include <string.h>

/* Those that contradict each other; none: an empty list. */
static json_t *copies_json(struct db *db, const struct store_member *of)
{
	struct store_copy copies[STORE_COPIES_MAX];
	json_t *list = json_array();
	size_t count = 0;

	if (store_instance_copies(db, of, copies, &count) != RC_OK)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct store_copy *c = &copies[i];
		char name[STORE_COPY_NAME_LEN + 1];

		(void)snprintf(
		    name, sizeof(name), "%.*s", STORE_COPY_NAME_LEN, c->nonce);
		(void)json_array_append_new(list,
		    json_pack("{s:s, s:I, s:s, s:o, s:I, s:b}", "instance",
			name, "start", (json_int_t)c->start, "nonce", c->nonce,
			"via", json_safe(c->via), "seen_ms",
			(json_int_t)c->seen_ms, "known", c->known ? 1 : 0));
	}
	return list;
}

/* What a person can do about it; "": nothing. */
static void advise(const struct held *h, json_t *copies, char *out, size_t size)
{
	const char *noun =
	    h->member.role == STORE_ROLE_RELAY ? "relay" : "machine";
	const char *a = "", *b = "";

	out[0] = '\0';
	if (strcmp(h->hold, "journal") == 0)
		(void)snprintf(out, size,
		    "its disk was set back or its journal lost, and it may do "
		    "again what it has done: look at it, then longarm "
		    "machine release %s",
		    h->name);
	if (strcmp(h->hold, "clone") != 0)
		return;
	(void)json_unpack(
	    copies, "[{s:s}, {s:s}]", "instance", &a, "instance", &b);
	(void)snprintf(out, size,
	    "there are two copies of it (%s had the work, %s is another): stop "
	    "one for good, then longarm %s release %s --instance %s, or %s",
	    a, b, noun, h->name, a, b);
}

json_t *held_explain(struct db *db, const struct held *held, json_t *answer)
{
	json_t *copies = copies_json(db, &held->member);
	char advice[2 * STORE_TEXT_SIZE];

	advise(held, copies, advice, sizeof(advice));
	if (answer == NULL ||
	    json_object_set_new(answer, "hold_advice", json_safe(advice)) !=
		0 ||
	    json_object_set(answer, "instances", copies) != 0) {
		json_decref(answer);
		answer = NULL;
	}
	json_decref(copies);
	return answer;
}

/* A person has looked: what was held may work again. */
static enum rc release(struct api_call *call, struct db *db)
{
	struct store_machine m = { 0 };
	enum rc rc =
	    store_machine_get(db, call_param(call, 0), &m, &call->fault);

	if (rc == RC_OK)
		rc = api_may_all(call, &m.environments);
	if (rc == RC_OK && m.hold[0] == '\0')
		rc = call_fail(call, RC_STATE, REASON_CONFLICT,
		    "machine %s: is not held; there is nothing to release",
		    m.name);
	if (rc == RC_OK)
		rc = store_instance_release(db,
		    &(struct store_member){ STORE_ROLE_TENTACLE, m.id },
		    call_text(call, "instance"), &call->fault);
	if (rc == RC_OK) {
		m.hold[0] = '\0';
		machine_changed(call, &m);
		rc = call_answer(call, 200, machine_json(&m, false));
	}
	store_machine_clear(&m);
	return rc;
}

static enum rc release_relay(struct api_call *call, struct db *db)
{
	const char *name = call_param(call, 0);
	struct store_relay r;
	enum rc rc = store_relay_get(db, name, &r, &call->fault);

	if (rc == RC_OK && r.hold[0] == '\0')
		rc = call_fail(call, RC_STATE, REASON_CONFLICT,
		    "relay %s: is not held; there is nothing to release", name);
	if (rc == RC_OK)
		rc = store_instance_release(db,
		    &(struct store_member){ STORE_ROLE_RELAY, name },
		    call_text(call, "instance"), &call->fault);
	if (rc != RC_OK)
		return rc;
	r.hold[0] = '\0';
	relay_changed(call, name);
	return call_answer(call, 200, relay_json(&r));
}

static const struct route_field release_fields[] = {
	{ "instance", ROUTE_TEXT, false, STORE_ID_SIZE - 1,
	    "The copy that goes on; none: whoever comes next", NULL },
	{ .name = NULL },
};

const struct route held_routes[] = {
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/machines/{name}/release",
	    .operation = "machine.release",
	    .summary = "Let a machine work again that is held for its journal "
		       "or as a copy",
	    .access = ROUTE_OBJECT,
	    .permission = PERM_MACHINE_EDIT,
	    .body = ROUTE_JSON,
	    .fields = release_fields,
	    .handler = release },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/relays/{name}/release",
	    .operation = "relay.release",
	    .summary = "Let a relay work again that is held as a copy",
	    .access = ROUTE_KEY,
	    .permission = PERM_MACHINE_EDIT,
	    .body = ROUTE_JSON,
	    .fields = release_fields,
	    .handler = release_relay },
	{ .pattern = NULL },
};
