#include "proto/message_standing.h"

#include "proto/message_parts.h"

/* --- health */

static const struct field health_fields[] = {
	{ SHAPE_U32("id", msg_health, id) },
	{ SHAPE_BYTES("script", msg_health, script, SCRIPT_BODY_MAX),
	    .optional = true },
	{ SHAPE_U32("timeout_ms", msg_health, timeout_ms) },
	{ SHAPE_BOOL("facts", msg_health, facts), .optional = true },
};

static const struct shape health = SHAPE(msg_health, OP_HEALTH, health_fields);
MSG_DEFINE(health, health)

static const char *const health_names[HEALTH_STATE_COUNT] = {
	[HEALTH_HEALTHY] = "healthy",
	[HEALTH_WARNINGS] = "warnings",
	[HEALTH_UNHEALTHY] = "unhealthy",
};

const char *health_state_name(enum health_state state)
{
	return (unsigned)state < HEALTH_STATE_COUNT ? health_names[state] : "?";
}

static const char *state_of_health(unsigned state)
{
	return health_state_name((enum health_state)state);
}

static const struct field disk_fields[] = {
	{ SHAPE_TEXT("path", msg_disk, path, MSG_TEXT_MAX) },
	{ SHAPE_U64("total", msg_disk, total) },
	{ SHAPE_U64("free", msg_disk, free) },
};

static const struct shape disk = SHAPE_PART(msg_disk, disk_fields);

static const struct field facts_fields[] = {
	{ SHAPE_TEXT("os", msg_facts, os, MSG_TEXT_MAX), .optional = true },
	{ SHAPE_TEXT("kernel", msg_facts, kernel, MSG_TEXT_MAX),
	    .optional = true },
	{ SHAPE_TEXT("arch", msg_facts, arch, MSG_TEXT_MAX), .optional = true },
	{ SHAPE_TEXT("hostname", msg_facts, hostname, MSG_TEXT_MAX),
	    .optional = true },
	{ SHAPE_TEXT("version", msg_facts, version, MSG_TEXT_MAX),
	    .optional = true },
	{ SHAPE_U64("uptime_s", msg_facts, uptime_s) },
	{ SHAPE_U64("clock_ms", msg_facts, clock_ms) },
	{ SHAPE_U32S("load_milli", msg_facts, load_milli, 3) },
	{ SHAPE_U64("memory_total", msg_facts, memory_total) },
	{ SHAPE_U64("memory_available", msg_facts, memory_available) },
	{ SHAPE_LIST(
	      "disks", msg_facts, disks, disk_count, HEALTH_DISKS_MAX, &disk),
	    .optional = true },
};

static const struct shape facts = SHAPE_PART(msg_facts, facts_fields);

static const struct field health_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_health_reply),
	{ SHAPE_ENUM("state", msg_health_reply, state, state_of_health,
	    HEALTH_STATE_COUNT) },
	{ SHAPE_I32("exit_code", msg_health_reply, exit_code),
	    .optional = true },
	{ SHAPE_BYTES("output", msg_health_reply, output, HEALTH_OUTPUT_MAX),
	    .optional = true },
	{ SHAPE_BOOL("truncated", msg_health_reply, truncated),
	    .optional = true },
	{ SHAPE_U32("ended", msg_health_reply, ended), .optional = true },
	{ SHAPE_MAYBE("facts", msg_health_reply, facts, has_facts, &facts) },
};

static const struct shape health_reply =
    SHAPE_REPLY(msg_health_reply, OP_HEALTH, health_reply_fields);
MSG_DEFINE(health_reply, health_reply)

/* --- start */

static const struct field script_fields[] = {
	{ SHAPE_TEXT("name", msg_script, name, MSG_TEXT_MAX) },
	{ SHAPE_BYTES("body", msg_script, body, SCRIPT_BODY_MAX),
	    .optional = true },
	{ SHAPE_NAME("blob", msg_script, blob, digest_is_valid),
	    .optional = true },
	{ SHAPE_PAIRS(
	    "environment", msg_script, environment, SCRIPT_VALUE_MAX) },
	{ SHAPE_PAIRS("secrets", msg_script, secrets, SCRIPT_VALUE_MAX) },
	{ SHAPE_NAME("package", msg_script, package, name_is_valid),
	    .optional = true },
	{ SHAPE_NAME("project", msg_script, project, name_is_valid),
	    .optional = true },
	{ SHAPE_U64("deployment", msg_script, deployment), .optional = true },
};

static const char *script_problem(const void *part)
{
	const struct msg_script *m = part;

	return (m->body.len > 0) == (m->blob[0] != '\0')
	           ? "needs either a body or a blob"
	           : NULL;
}

static const struct shape script = { .name = "msg_script",
	.size = sizeof(struct msg_script),
	.problem = script_problem,
	SHAPE_FIELDS(script_fields) };

static const struct field activate_fields[] = {
	{ SHAPE_NAME("project", msg_activate, project, name_is_valid) },
	{ SHAPE_U64("deployment", msg_activate, deployment) },
	{ SHAPE_NAME("package", msg_activate, package, name_is_valid) },
	{ SHAPE_NAME("version", msg_activate, version, version_is_valid) },
	{ SHAPE_NAME("digest", msg_activate, digest, digest_is_valid) },
	{ SHAPE_LIST("configure", msg_activate, configure.items,
	      configure.count, CONFIGURE_MAX, &part_text),
	    .optional = true },
	{ SHAPE_PAIRS("variables", msg_activate, variables, SCRIPT_VALUE_MAX) },
	{ SHAPE_PAIRS("secrets", msg_activate, secrets, SCRIPT_VALUE_MAX) },
	{ SHAPE_BYTES("before", msg_activate, before, SCRIPT_BODY_MAX),
	    .optional = true },
	{ SHAPE_BYTES("after", msg_activate, after, SCRIPT_BODY_MAX),
	    .optional = true },
	{ SHAPE_U32("keep", msg_activate, keep) },
};

static const struct shape activate = SHAPE_PART(msg_activate, activate_fields);

static const struct field start_fields[] = {
	{ SHAPE_U32("id", msg_start, id) },
	{ SHAPE_NAME("ticket", msg_start, ticket, id_is_valid) },
	{ SHAPE_NAME("task", msg_start, task, task_is_valid) },
	{ SHAPE_U64("epoch", msg_start, epoch) },
	{ SHAPE_STRUCT(
	    "incarnation", msg_start, incarnation, &part_incarnation) },
	{ SHAPE_NAME("journal", msg_start, journal, id_is_valid),
	    .optional = true },
	{ SHAPE_U64("counter", msg_start, counter), .optional = true },
	{ SHAPE_LIST("supersedes", msg_start, supersedes.items,
	      supersedes.count, SUPERSEDES_MAX, &part_id),
	    .optional = true },
	{ SHAPE_U32("timeout_ms", msg_start, timeout_ms) },
	{ SHAPE_NAME("user", msg_start, user, user_is_valid),
	    .optional = true },
	{ SHAPE_U64("memory", msg_start, memory), .optional = true },
	{ SHAPE_U32("processes", msg_start, processes), .optional = true },
	{ SHAPE_NAME("lock", msg_start, lock, name_is_valid),
	    .optional = true },
	{ SHAPE_BOOL("lock_shared", msg_start, lock_shared), .optional = true },
	{ SHAPE_CASE(
	    "script", msg_start, script, action, ACTION_SCRIPT, &script) },
	{ SHAPE_CASE("activate", msg_start, activate, action, ACTION_ACTIVATE,
	    &activate) },
};

static const char *start_problem(const void *message)
{
	const struct msg_start *m = message;

	return m->action == ACTION_SCRIPT || m->action == ACTION_ACTIVATE
	           ? NULL
	           : "is neither 'script' nor 'activate'";
}

static const struct shape start = { .name = "msg_start",
	.size = sizeof(struct msg_start),
	.has_op = true,
	.op = OP_START,
	.problem = start_problem,
	SHAPE_FIELDS(start_fields) };
MSG_DEFINE(start, start)

static const struct field start_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_start_reply),
	{ SHAPE_ENUM("state", msg_start_reply, state, part_ticket_state,
	    TICKET_STATE_COUNT) },
	{ SHAPE_MAYBE(
	    "result", msg_start_reply, result, has_result, &part_result) },
};

static const struct shape start_reply =
    SHAPE_REPLY(msg_start_reply, OP_START, start_reply_fields);
MSG_DEFINE(start_reply, start_reply)

/* --- cancel */

static const struct field cancel_fields[] = {
	{ SHAPE_U32("id", msg_cancel, id) },
	{ SHAPE_NAME("ticket", msg_cancel, ticket, id_is_valid) },
	{ SHAPE_NAME("task", msg_cancel, task, task_is_valid) },
	{ SHAPE_U64("epoch", msg_cancel, epoch) },
};

static const struct shape cancel = SHAPE(msg_cancel, OP_CANCEL, cancel_fields);
MSG_DEFINE(cancel, cancel)

static const struct field cancel_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_cancel_reply),
	{ SHAPE_ENUM("state", msg_cancel_reply, state, part_ticket_state,
	    TICKET_STATE_COUNT) },
};

static const struct shape cancel_reply =
    SHAPE_REPLY(msg_cancel_reply, OP_CANCEL, cancel_reply_fields);
MSG_DEFINE(cancel_reply, cancel_reply)

/* --- tickets */

static const struct field tickets_fields[] = {
	{ SHAPE_U32("id", msg_tickets, id) },
};

static const struct shape tickets =
    SHAPE(msg_tickets, OP_TICKETS, tickets_fields);
MSG_DEFINE(tickets, tickets)

static const struct field ticket_fields[] = {
	{ SHAPE_NAME("ticket", msg_ticket, ticket, id_is_valid) },
	{ SHAPE_ENUM("state", msg_ticket, state, part_ticket_state,
	    TICKET_STATE_COUNT) },
	{ SHAPE_I32("exit_code", msg_ticket, exit_code), .optional = true },
	{ SHAPE_ENUM("cause", msg_ticket, cause, part_reason, REASON_COUNT),
	    .may_be_none = true, .tag = REASON_INTERNAL },
	{ SHAPE_U64("log_size", msg_ticket, log_size), .optional = true },
};

static const struct shape ticket = SHAPE_PART(msg_ticket, ticket_fields);

static const struct field tickets_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_tickets_reply),
	{ SHAPE_LIST(
	      "tickets", msg_tickets_reply, items, count, TICKETS_MAX, &ticket),
	    .optional = true },
};

static const struct shape tickets_reply =
    SHAPE_REPLY(msg_tickets_reply, OP_TICKETS, tickets_reply_fields);
MSG_DEFINE(tickets_reply, tickets_reply)

/* --- forget */

static const struct field forget_fields[] = {
	{ SHAPE_U32("id", msg_forget, id) },
	{ SHAPE_LIST("tickets", msg_forget, tickets.items, tickets.count,
	      TICKETS_MAX, &part_id),
	    .optional = true },
	{ SHAPE_NAME("task", msg_forget, task, task_is_valid),
	    .optional = true },
	{ SHAPE_U64("epoch", msg_forget, epoch), .optional = true },
	{ SHAPE_U64("settled", msg_forget, settled), .optional = true },
};

static const struct shape forget = SHAPE(msg_forget, OP_FORGET, forget_fields);
MSG_DEFINE(forget, forget)

static const struct field forget_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_forget_reply),
};

static const struct shape forget_reply =
    SHAPE_REPLY(msg_forget_reply, OP_FORGET, forget_reply_fields);
MSG_DEFINE(forget_reply, forget_reply)

/* --- stage-query */

static const struct field stage_query_fields[] = {
	{ SHAPE_U32("id", msg_stage_query, id) },
	{ SHAPE_NAME("digest", msg_stage_query, digest, digest_is_valid) },
};

static const struct shape stage_query =
    SHAPE(msg_stage_query, OP_STAGE_QUERY, stage_query_fields);
MSG_DEFINE(stage_query, stage_query)

static const struct field stage_query_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_stage_query_reply),
	{ SHAPE_U64("have", msg_stage_query_reply, have) },
	{ SHAPE_BOOL("complete", msg_stage_query_reply, complete) },
};

static const struct shape stage_query_reply = SHAPE_REPLY(
    msg_stage_query_reply, OP_STAGE_QUERY, stage_query_reply_fields);
MSG_DEFINE(stage_query_reply, stage_query_reply)

/* --- locks, lock-break */

static const struct field locks_fields[] = {
	{ SHAPE_U32("id", msg_locks, id) },
};

static const struct shape locks = SHAPE(msg_locks, OP_LOCKS, locks_fields);
MSG_DEFINE(locks, locks)

static const struct field lock_fields[] = {
	{ SHAPE_NAME("lock", msg_lock, lock, name_is_valid) },
	{ SHAPE_BOOL("shared", msg_lock, shared), .optional = true },
	{ SHAPE_BOOL("held", msg_lock, held), .optional = true },
	{ SHAPE_NAME("ticket", msg_lock, ticket, id_is_valid) },
	{ SHAPE_NAME("task", msg_lock, task, task_is_valid) },
	{ SHAPE_U64("since_ms", msg_lock, since_ms) },
};

static const struct shape lock = SHAPE_PART(msg_lock, lock_fields);

static const struct field locks_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_locks_reply),
	{ SHAPE_LIST("locks", msg_locks_reply, items, count, LOCKS_MAX, &lock),
	    .optional = true },
};

static const struct shape locks_reply =
    SHAPE_REPLY(msg_locks_reply, OP_LOCKS, locks_reply_fields);
MSG_DEFINE(locks_reply, locks_reply)

static const struct field lock_break_fields[] = {
	{ SHAPE_U32("id", msg_lock_break, id) },
	{ SHAPE_NAME("lock", msg_lock_break, lock, name_is_valid) },
};

static const struct shape lock_break =
    SHAPE(msg_lock_break, OP_LOCK_BREAK, lock_break_fields);
MSG_DEFINE(lock_break, lock_break)

static const struct field lock_break_reply_fields[] = {
	SHAPE_REPLY_FRONT(msg_lock_break_reply),
	{ SHAPE_U32("broken", msg_lock_break_reply, broken) },
};

static const struct shape lock_break_reply =
    SHAPE_REPLY(msg_lock_break_reply, OP_LOCK_BREAK, lock_break_reply_fields);
MSG_DEFINE(lock_break_reply, lock_break_reply)
