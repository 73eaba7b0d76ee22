#include "proto/kind.h"

#include <string.h>

static const char *const class_names[CLASS_COUNT] = {
	[CLASS_CONTROL] = "control",
	[CLASS_HEALTH] = "health",
	[CLASS_DEPLOY] = "deploy",
	[CLASS_BULK] = "bulk",
};

static const char *const kind_names[KIND_COUNT] = {
	[KIND_SEAL] = "seal",
	[KIND_CHUNKS] = "chunks",
	[KIND_ENROL] = "enrol",
	[KIND_TRACE] = "trace",
	[KIND_PEER] = "peer",
};

static const char *const role_names[ROLE_COUNT] = {
	[ROLE_ANONYMOUS] = "anonymous",
	[ROLE_SERVER] = "server",
	[ROLE_RELAY] = "relay",
	[ROLE_TENTACLE] = "tentacle",
};

static int look_up(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return -1;
}

const char *class_name(enum stream_class c)
{
	return (unsigned)c < CLASS_COUNT ? class_names[c] : "?";
}

const char *kind_name(enum stream_kind kind)
{
	return (unsigned)kind < KIND_COUNT ? kind_names[kind] : "?";
}

const char *role_name(enum peer_role role)
{
	return (unsigned)role < ROLE_COUNT ? role_names[role] : "?";
}

enum rc role_parse(const char *name, enum peer_role *out)
{
	int i = look_up(role_names, ROLE_COUNT, name);

	if (i < 0)
		return RC_NOTFOUND;
	*out = (enum peer_role)i;
	return RC_OK;
}
