/* api_ca.c - the cluster's authorities: what they are, and what follows them.
 */
#include "common/certs.h"
#include "common/hex.h"
#include "server/api/api_base.h"
#include "server/api/routes.h"
#include "server/api/wire.h"
#include "server/ca/ca_files.h"
#include "server/ca/rotation.h"
#include "server/store/node.h"
#include "server/store/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MISSING_MAX 500 /* named in one answer */

/* ---- what there is ---- */

static json_t *certificate_json(const char *name, const X509 *cert)
{
	uint8_t hash[KEY_HASH_SIZE];
	char text[(2 * KEY_HASH_SIZE) + 1] = "";
	int64_t from_s = 0, until_s = 0;

	if (certs_key_hash(cert, hash) != RC_OK ||
	    certs_validity(cert, &from_s, &until_s) != RC_OK)
		return NULL;
	hex_encode(hash, sizeof(hash), text);
	return json_pack("{s:s, s:s, s:I, s:I}", "name", name, "key_sha256",
	    text, "not_before_ms", (json_int_t)from_s * 1000, "not_after_ms",
	    (json_int_t)until_s * 1000);
}

/* One that cannot be read is left out: this is for looking. */
static void add_file(const struct api_call *call, json_t *list,
    const char *name, const char *file)
{
	const char *state = call->options->state_dir;
	struct certs certs;
	struct fault fault;
	json_t *one = NULL;

	certs_init(&certs);
	if (ca_files_certs(state, file, &certs, &fault) == RC_OK)
		one = certificate_json(name, certs.cert[0]);
	if (one != NULL && strcmp(name, "agents") == 0)
		(void)json_object_set_new(
		    one, "key", json_string("in the database"));
	else if (one != NULL)
		(void)json_object_set_new(one, "key",
		    json_string(file[0] == '.' || ca_files_has_key(state, name)
				    ? "on this node"
				    : "elsewhere"));
	(void)json_array_append_new(list, one);
	certs_fini(&certs);
}

static json_t *authorities(const struct api_call *call)
{
	json_t *list = json_array();

	add_file(call, list, "root", "root.crt");
	add_file(call, list, "agents", "agents.crt");
	add_file(call, list, "nodes", "nodes.crt");
	add_file(call, list, "node", "../node/cert.pem");
	add_file(call, list, "https", "../https/cert.pem");
	return list;
}

/* ---- a rotation ---- */

static json_t *missing_json(const struct store_missing *m)
{
	bool relay = m->role == STORE_ROLE_RELAY;

	return json_pack("{s:s, s:o, s:s, s:I}", "what",
	    relay ? "relay" : "machine", "name", json_safe(m->name), "presence",
	    store_presence_name(m->presence), "last_seen_ms",
	    (json_int_t)m->last_seen_ms);
}

/* "relay dc2-a\nmachine web-03\n" as a list. */
static json_t *left_out_json(const char *text)
{
	json_t *list = json_array();

	while (text != NULL && *text != '\0') {
		size_t len = strcspn(text, "\n");

		(void)json_array_append_new(list, json_stringn(text, len));
		text += len + (text[len] != '\0');
	}
	return list;
}

static enum rc rotation_json(
    struct db *db, const struct store_rotation *r, json_t **out)
{
	struct store_missing *rows = NULL;
	size_t n = 0;
	uint64_t missing = 0, members = 0;
	json_t *list = json_array();
	enum rc rc = rotation_missing(db, r, MISSING_MAX, &rows, &n, &missing);

	if (rc == RC_OK)
		rc = store_member_count(db, &members);
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, missing_json(&rows[i]));
	free(rows);
	*out = json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:o}",
	    "kind", rotation_kind_name(r->kind), "phase",
	    rotation_phase_name(r->phase), "who", json_safe(r->who),
	    "started_ms", (json_int_t)r->started_ms, "changed_ms",
	    (json_int_t)r->changed_ms, "members", (json_int_t)members,
	    "missing_count", (json_int_t)missing, "missing", list, "left_out",
	    left_out_json(r->left_out));
	return rc == RC_OK && *out == NULL ? RC_NOMEM : rc;
}

static enum rc answer_ca(struct api_call *call, struct db *db)
{
	struct store_rotation r = { .id = 0 };
	json_t *rotation = NULL;
	enum rc rc = store_rotation_last(db, &r);

	if (rc == RC_OK)
		rc = rotation_json(db, &r, &rotation);
	else if (rc == RC_NOTFOUND)
		rc = RC_OK;
	store_rotation_clear(&r);
	if (rc != RC_OK) {
		json_decref(rotation);
		return rc;
	}
	return call_answer(call, 200,
	    json_pack("{s:o, s:o}", "authorities", authorities(call),
		"rotation", rotation != NULL ? rotation : json_null()));
}

static enum rc check(struct api_call *call)
{
	return call->options->state_dir != NULL
	           ? RC_OK
	           : call_fail(call, RC_STATE, REASON_INTERNAL,
			 "this server keeps no authorities");
}

static enum rc show(struct api_call *call, struct db *db)
{
	enum rc rc = check(call);

	return rc == RC_OK ? answer_ca(call, db) : rc;
}

static enum rc rotate(struct api_call *call, struct db *db)
{
	const char *kind = call_text(call, "kind");
	const char *key = call_text(call, "root_key");
	struct rotation_order order = { .state = call->options->state_dir,
		.master = call->options->master,
		.who = call->caller.who,
		.now_ms = (uint64_t)call->now_ms,
		.force = call_bool(call, "force", false) };
	enum rc rc = check(call);

	if (rc == RC_OK && rotation_kind_parse(kind, &order.kind) != RC_OK)
		rc = call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "kind is agents, nodes or root, not '%.40s'", kind);
	if (key != NULL)
		order.root_key = bytes_of((const uint8_t *)key, strlen(key));
	if (rc == RC_OK)
		rc = rotation_order(db, &order, &call->fault);
	if (rc != RC_OK)
		return rc;
	call->event = API_EVENT_CA_CHANGED;
	(void)snprintf(call->object, sizeof(call->object), "%s%s", kind,
	    order.force ? ", by force" : "");
	return answer_ca(call, db);
}

/* ---- a node ---- */

static enum rc own_key(struct api_call *call, uint8_t key[KEY_HASH_SIZE])
{
	struct certs certs;
	enum rc rc;

	certs_init(&certs);
	rc = ca_files_certs(
	    call->options->state_dir, "../node/cert.pem", &certs, &call->fault);
	if (rc == RC_OK)
		rc = certs_key_hash(certs.cert[0], key);
	certs_fini(&certs);
	return rc;
}

static json_t *node_json(const struct store_node *n, const uint8_t *own)
{
	char key[(2 * STORE_SHA256_SIZE) + 1];

	hex_encode(n->spki, sizeof(n->spki), key);
	return json_pack("{s:o, s:s, s:b, s:b, s:I, s:I, s:I, s:o}", "name",
	    json_safe(n->name), "key_sha256", key, "this",
	    memcmp(n->spki, own, sizeof(n->spki)) == 0 ? 1 : 0, "revoked",
	    n->revoked ? 1 : 0, "not_after_ms", (json_int_t)n->not_after_ms,
	    "first_seen_ms", (json_int_t)n->first_ms, "last_seen_ms",
	    (json_int_t)n->seen_ms, "version", json_safe(n->version));
}

static enum rc list_nodes(struct api_call *call, struct db *db)
{
	struct store_node *rows = NULL;
	uint8_t own[KEY_HASH_SIZE];
	json_t *items = json_array();
	size_t count = 0;
	enum rc rc = check(call);

	if (rc == RC_OK)
		rc = own_key(call, own);
	if (rc == RC_OK)
		rc = store_node_list(db, &rows, &count);
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		if (json_array_append_new(items, node_json(&rows[i], own)) != 0)
			rc = RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = call_answer_list(call, json_incref(items), NULL);
	json_decref(items);
	free(rows);
	return rc;
}

/* The key that is meant: not this node's own, it would be alone at once. */
static enum rc read_key(
    struct api_call *call, struct db *db, uint8_t key[KEY_HASH_SIZE])
{
	const char *text = call_text(call, "key_sha256");
	const char *name = call_param(call, 0);
	uint8_t own[KEY_HASH_SIZE];
	struct store_node node;
	enum rc rc = own_key(call, own);

	if (rc != RC_OK)
		return rc;
	if (text == NULL) {
		rc = store_node_find(db, name, own, &node, &call->fault);
		if (rc == RC_OK)
			memcpy(key, node.spki, KEY_HASH_SIZE);
		return rc;
	}
	if (strlen(text) != (size_t)2 * KEY_HASH_SIZE ||
	    hex_decode(text, key, KEY_HASH_SIZE) != RC_OK)
		return call_fail(call, RC_PROTO, REASON_BAD_CONFIG,
		    "key_sha256 is 64 hexadecimal digits, as longarm node list "
		    "shows them");
	if (memcmp(own, key, sizeof(own)) == 0)
		return call_fail(call, RC_STATE, REASON_CONFLICT,
		    "this is the key of the server that you are asking: let "
		    "it have another first, by: longarm ca rotate nodes");
	return store_node_check(db, name, key, &call->fault);
}

static enum rc check_signer(struct api_call *call)
{
	if (ca_files_has_key(call->options->state_dir, "nodes"))
		return RC_OK;
	return call_fail(call, RC_NOTFOUND, REASON_NOT_FOUND,
	    "the key of the authority 'nodes', which signs the list of revoked "
	    "nodes, is not at %s/ca/nodes.key: put it back there for as long "
	    "as this takes",
	    call->options->state_dir);
}

static enum rc revoke_node(struct api_call *call, struct db *db)
{
	const char *why = call_text(call, "reason");
	uint8_t key[KEY_HASH_SIZE];
	char text[(2 * KEY_HASH_SIZE) + 1];
	const struct store_revoke_key revoke = {
		.role = STORE_ROLE_SERVER,
		.name = call_param(call, 0),
		.reason = why != NULL ? why : "revoked by an operator",
		.spki = key,
		.now_ms = (uint64_t)call->now_ms,
	};
	enum rc rc = check(call);

	if (rc == RC_OK)
		rc = name_check("node", call_param(call, 0), &call->fault);
	if (rc == RC_OK)
		rc = read_key(call, db, key);
	if (rc == RC_OK)
		rc = check_signer(call);
	if (rc == RC_OK)
		rc = store_revoke_key(db, &revoke);
	if (rc != RC_OK)
		return rc;
	call->event = API_EVENT_CA_CHANGED;
	(void)snprintf(call->object, sizeof(call->object), "node %.200s",
	    call_param(call, 0));
	hex_encode(key, sizeof(key), text);
	return call_answer(call, 200,
	    json_pack("{s:o, s:s, s:b}", "name", json_safe(call_param(call, 0)),
		"key_sha256", text, "revoked", 1));
}

static const struct route_field revoke_fields[] = {
	{ "key_sha256", ROUTE_TEXT, false, (uint64_t)2 * KEY_HASH_SIZE,
	    "Of its key, in hexadecimal; none: the only one it has", NULL },
	{ "reason", ROUTE_TEXT, false, STORE_TEXT_SIZE - 1, "For the record",
	    NULL },
	{ .name = NULL },
};

static const struct route_field rotate_fields[] = {
	{ "kind", ROUTE_TEXT, true, 16, "agents, nodes or root", NULL },
	{ "root_key", ROUTE_TEXT, false, KEY_PEM_MAX,
	    "The root's key (PEM), when it is not on the server", NULL },
	{ "force", ROUTE_BOOL, false, 0,
	    "One phase on, whoever is missing: they are left out", NULL },
	{ .name = NULL },
};

const struct route ca_routes[] = {
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/ca",
	    .operation = "ca.show",
	    .summary = "Authorities, and how far the last rotation is",
	    .access = ROUTE_KEY,
	    .permission = PERM_STATUS_VIEW,
	    .handler = show },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/ca/rotations",
	    .operation = "ca.rotate",
	    .summary = "Let authorities be followed by new ones; again: only "
		       "tells how far it is",
	    .access = ROUTE_KEY,
	    .permission = PERM_SERVER_ADMIN,
	    .body = ROUTE_JSON,
	    .fields = rotate_fields,
	    .handler = rotate },
	{ .method = HTTP_METHOD_GET,
	    .pattern = "/api/v1/nodes",
	    .operation = "node.list",
	    .summary = "Keys that servers have or had, and until when",
	    .access = ROUTE_KEY,
	    .permission = PERM_STATUS_VIEW,
	    .handler = list_nodes },
	{ .method = HTTP_METHOD_POST,
	    .pattern = "/api/v1/nodes/{name}/revoke",
	    .operation = "node.revoke",
	    .summary = "Revoke a key of a server: nobody obeys it any more",
	    .access = ROUTE_KEY,
	    .permission = PERM_SERVER_ADMIN,
	    .body = ROUTE_JSON,
	    .fields = revoke_fields,
	    .handler = revoke_node },
	{ .pattern = NULL },
};
