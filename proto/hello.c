#include "proto/hello.h"

#include "proto/message_parts.h"

#include <string.h>

static const char *name_of_kind(unsigned kind)
{
	return kind_name((enum stream_kind)kind);
}

static const char *name_of_class(unsigned c)
{
	return class_name((enum stream_class)c);
}

static bool path_is_valid(const char *text)
{
	struct path ignored;

	return path_parse(text, &ignored, NULL) == RC_OK;
}

static const struct field version_fields[] = {
	{ SHAPE_U64("incarnation", msg_version, incarnation) },
	{ SHAPE_U64("seq", msg_version, seq) },
};

static const struct shape version = SHAPE_PART(msg_version, version_fields);

static const struct field open_fields[] = {
	{ SHAPE_ENUM("kind", msg_open, kind, name_of_kind, KIND_COUNT) },
	{ SHAPE_TARGET("to", msg_open, to) },
	{ SHAPE_PATH("path", msg_open, path) },
	{ SHAPE_ENUM(
	    "class", msg_open, service_class, name_of_class, CLASS_COUNT) },
	{ SHAPE_STRUCT("version", msg_open, version, &version) },
	{ SHAPE_U32("deadline_ms", msg_open, deadline_ms) },
	{ SHAPE_NAME("trace", msg_open, trace, name_is_valid),
	    .optional = true },
	{ SHAPE_PATH("passed", msg_open, passed) },
};

static const char *open_problem(const void *payload)
{
	const struct msg_open *m = payload;

	return m->deadline_ms == 0 ? "has no time left" : NULL;
}

static const struct shape open_shape = { .name = "OPEN",
	.size = sizeof(struct msg_open),
	.problem = open_problem,
	SHAPE_FIELDS(open_fields) };
MSG_DEFINE(open, open_shape)

static const struct field accept_fields[] = {
	{ SHAPE_U32("credit", msg_accept, credit) },
	{ SHAPE_NAME("via", msg_accept, via, path_is_valid), .optional = true },
};

static const struct shape accept_shape = { .name = "ACCEPT",
	.size = sizeof(struct msg_accept),
	SHAPE_FIELDS(accept_fields) };
MSG_DEFINE(accept, accept_shape)

static const struct field reset_fields[] = {
	{ SHAPE_FAULT("fault", msg_reset, fault) },
	{ SHAPE_BOOL("done", msg_reset, done) },
};

static const struct shape reset = { .name = "RESET",
	.size = sizeof(struct msg_reset),
	SHAPE_FIELDS(reset_fields) };
MSG_DEFINE(reset, reset)

static const struct field goaway_fields[] = {
	{ SHAPE_U32("last", msg_goaway, last) },
	{ SHAPE_FAULT("reason", msg_goaway, fault) },
	{ SHAPE_U32("retry_ms", msg_goaway, retry_ms), .optional = true },
};

static const struct shape goaway = { .name = "GOAWAY",
	.size = sizeof(struct msg_goaway),
	SHAPE_FIELDS(goaway_fields) };
MSG_DEFINE(goaway, goaway)

static const struct field limits_fields[] = {
	{ SHAPE_U32("streams", msg_link_limits, streams) },
	{ SHAPE_U32("window_bytes", msg_link_limits, window_bytes) },
};

static const struct shape limits = SHAPE_PART(msg_link_limits, limits_fields);

static const struct field hello_fields[] = {
	{ SHAPE_U32("proto_min", msg_hello, proto_min) },
	{ SHAPE_U32("proto_max", msg_hello, proto_max) },
	{ SHAPE_TEXT("version", msg_hello, version, MSG_VERSION_MAX) },
	{ SHAPE_LIST("features", msg_hello, features.items, features.count,
	      HELLO_FEATURES_MAX, &part_text),
	    .optional = true },
	{ SHAPE_MAYBE(
	    "instance", msg_hello, instance, has_instance, &part_instance) },
	{ SHAPE_STRUCT("limits", msg_hello, limits, &limits) },
	{ SHAPE_NAME("boot_id", msg_hello, boot_id, id_is_valid),
	    .optional = true },
	{ SHAPE_STRUCT(
	    "revocations", msg_hello, revocations, &part_revocations) },
	{ SHAPE_FAULT("refused", msg_hello, refused) },
	{ SHAPE_U32("retry_ms", msg_hello, retry_ms), .optional = true },
};

static const char *hello_problem(const void *payload)
{
	const struct msg_hello *m = payload;

	return m->proto_min > m->proto_max ? "has an empty range of versions"
	                                   : NULL;
}

static const struct shape hello = { .name = "HELLO",
	.size = sizeof(struct msg_hello),
	.problem = hello_problem,
	SHAPE_FIELDS(hello_fields) };
MSG_DEFINE(hello, hello)

static const char *name_of_tell(unsigned kind)
{
	static const char *const names[TELL_KIND_COUNT] = {
		[TELL_NONE] = "none",
		[TELL_DRAIN] = "drain",
		[TELL_BUDGET] = "budget",
		[TELL_REVOKED] = "revoked",
		[TELL_RENEWED] = "renewed",
	};

	return kind < TELL_KIND_COUNT ? names[kind] : "?";
}

static const struct field tell_fields[] = {
	{ SHAPE_ENUM("tell", msg_tell, kind, name_of_tell, TELL_KIND_COUNT),
	    .may_be_none = true, .tag = TELL_NONE },
	{ SHAPE_U64("budget_bytes", msg_tell, budget_bytes), .optional = true },
	{ SHAPE_STRUCT(
	    "revocations", msg_tell, revocations, &part_revocations) },
};

static const struct shape tell = { .name = "TELL",
	.size = sizeof(struct msg_tell),
	SHAPE_FIELDS(tell_fields) };
MSG_DEFINE(tell, tell)
