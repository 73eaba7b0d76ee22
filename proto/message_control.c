#include "proto/message_control.h"

#include "proto/message_parts.h"

#include <string.h>

static const char *const how_names[ROUTE_HOW_COUNT] = {
	[ROUTE_DIAL] = "dial",
	[ROUTE_DIALS_ME] = "dials-me",
	[ROUTE_VIA] = "via",
};

const char *route_how_name(enum route_how how)
{
	return (unsigned)how < ROUTE_HOW_COUNT ? how_names[how] : "?";
}

enum rc route_how_parse(const char *name, enum route_how *out)
{
	for (unsigned i = 0; i < ROUTE_HOW_COUNT; i++) {
		if (strcmp(name, how_names[i]) == 0) {
			*out = (enum route_how)i;
			return RC_OK;
		}
	}
	return RC_NOTFOUND;
}

static const char *name_of_how(unsigned how)
{
	return route_how_name((enum route_how)how);
}

/* --- table */

static const struct field neighbour_fields[] = {
	{ SHAPE_ENUM("role", msg_neighbour, role, part_role, ROLE_COUNT),
	    .enum_mask = ROLES_OF_PEERS },
	{ SHAPE_NAME("name", msg_neighbour, name, name_is_valid) },
};

static const struct shape neighbour =
    SHAPE_PART(msg_neighbour, neighbour_fields);

static const struct field entry_fields[] = {
	{ SHAPE_NAME("target", msg_table_entry, target, target_is_valid) },
	{ SHAPE_U64("seq", msg_table_entry, seq) },
	{ SHAPE_BOOL("gone", msg_table_entry, gone), .optional = true },
	{ SHAPE_NAME("name", msg_table_entry, name, name_is_valid),
	    .optional = true },
	{ SHAPE_ENUM(
	    "how", msg_table_entry, how, name_of_how, ROUTE_HOW_COUNT) },
	{ SHAPE_NAME("endpoint", msg_table_entry, endpoint, endpoint_is_valid),
	    .optional = true },
	{ SHAPE_NAME("via", msg_table_entry, via, name_is_valid),
	    .optional = true },
	{ SHAPE_LIST("from", msg_table_entry, from, from_count, TABLE_FROM_MAX,
	      &neighbour),
	    .optional = true },
	{ SHAPE_LIST("also", msg_table_entry, also, also_count, TABLE_ALSO_MAX,
	      &neighbour),
	    .optional = true },
};

/* An entry says all that its way needs, and nothing of another way. */
static const char *entry_problem(const void *part)
{
	const struct msg_table_entry *m = part;
	bool dials = m->endpoint[0] != '\0', has_via = m->via[0] != '\0';

	if (strcmp(m->target, "server") == 0)
		return "has a route to a server";
	if (m->gone)
		return NULL;
	if (dials != (m->how == ROUTE_DIAL) || has_via != (m->how == ROUTE_VIA))
		return "has an 'endpoint' or 'via' that does not fit 'how'";
	for (size_t i = 0; i < m->also_count; i++) {
		if (m->also[i].role != ROLE_RELAY)
			return "has an 'also' that is no relay";
	}
	return NULL;
}

static const struct shape entry = { .name = "msg_table_entry",
	.size = sizeof(struct msg_table_entry),
	.problem = entry_problem,
	SHAPE_FIELDS(entry_fields) };

static const struct field table_page_fields[] = {
	{ SHAPE_STRUCT(
	    "incarnation", msg_table_page, incarnation, &part_incarnation) },
	{ SHAPE_U64("from_seq", msg_table_page, from_seq) },
	{ SHAPE_U64("seq", msg_table_page, seq) },
	{ SHAPE_U32("page", msg_table_page, page) },
	{ SHAPE_BOOL("last", msg_table_page, last) },
	{ SHAPE_LIST("entries", msg_table_page, entries, entry_count,
	      TABLE_PAGE_ENTRIES_MAX, &entry),
	    .optional = true },
};

static const struct shape table_page =
    SHAPE(msg_table_page, OP_TABLE_PAGE, table_page_fields);
MSG_DEFINE(table_page, table_page)

static const struct field table_ack_fields[] = {
	{ SHAPE_U64("seq", msg_table_ack, seq) },
};

static const struct shape table_ack =
    SHAPE(msg_table_ack, OP_TABLE_ACK, table_ack_fields);
MSG_DEFINE(table_ack, table_ack)

/* --- presence */

static const struct field presence_sub_fields[] = {
	{ SHAPE_U64("reserved", msg_presence_sub, reserved), .optional = true },
};

static const struct shape presence_sub =
    SHAPE(msg_presence_sub, OP_PRESENCE_SUB, presence_sub_fields);
MSG_DEFINE(presence_sub, presence_sub)

static const struct field change_fields[] = {
	{ SHAPE_NAME("target", msg_presence_change, target, target_is_valid) },
	{ SHAPE_BOOL("up", msg_presence_change, up) },
	{ SHAPE_U64("start", msg_presence_change, start), .optional = true },
	{ SHAPE_FAULT("reason", msg_presence_change, reason) },
	{ SHAPE_U64("link", msg_presence_change, link), .optional = true },
};

static const struct shape change =
    SHAPE_PART(msg_presence_change, change_fields);

static const struct field presence_fields[] = {
	{ SHAPE_BOOL("whole", msg_presence, whole), .optional = true },
	{ SHAPE_LIST("changes", msg_presence, changes, change_count,
	      PRESENCE_CHANGES_MAX, &change),
	    .optional = true },
};

static const struct shape presence =
    SHAPE(msg_presence, OP_PRESENCE, presence_fields);
MSG_DEFINE(presence, presence)

/* --- the rest */

static const struct field peers_fields[] = {
	{ SHAPE_U32("id", msg_peers, id), .optional = true },
	{ SHAPE_LIST(
	      "peers", msg_peers, peers, peer_count, PEERS_MAX, &part_peer),
	    .optional = true },
};

static const struct shape peers = SHAPE(msg_peers, OP_PEERS, peers_fields);
MSG_DEFINE(peers, peers)

static const struct field peers_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_peers_reply),
	{ SHAPE_U32("undialled", msg_peers_reply, undialled),
	    .optional = true },
};

static const struct shape peers_reply =
    SHAPE_REPLY(msg_peers_reply, OP_PEERS, peers_reply_fields);
MSG_DEFINE(peers_reply, peers_reply)

static const struct field drain_fields[] = {
	{ SHAPE_BOOL("stop", msg_drain, stop), .optional = true },
};

static const struct shape drain = SHAPE(msg_drain, OP_DRAIN, drain_fields);
MSG_DEFINE(drain, drain)

static const struct field status_fields[] = {
	{ SHAPE_U32("id", msg_status, id) },
};

static const struct shape status = SHAPE(msg_status, OP_STATUS, status_fields);
MSG_DEFINE(status, status)

static const struct field status_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_status_reply),
	{ SHAPE_U32("links", msg_status_reply, links) },
	{ SHAPE_U32("streams", msg_status_reply, streams) },
	{ SHAPE_U64("uptime_s", msg_status_reply, uptime_s) },
	{ SHAPE_TEXT("version", msg_status_reply, version, MSG_VERSION_MAX) },
	{ SHAPE_U64("table_seq", msg_status_reply, table_seq) },
};

static const struct shape status_reply =
    SHAPE_REPLY(msg_status_reply, OP_STATUS, status_reply_fields);
MSG_DEFINE(status_reply, status_reply)
