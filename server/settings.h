/*
 * settings.h - the settings of longarm-server, and where things lie in its
 * state directory.
 *
 *     longarm.db     the database            master.key  wraps secrets
 *     ca/            see server/ca/ca_files.h
 *     node/          identity of this node   node.id     its random id
 *     https/         cert.pem, key.pem       blobs/      packages
 *     logs/          output of scripts       addresses   what serve listens at
 *     operator.login for `longarm login --file`
 */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include "common/config.h"
#include "common/config_command.h"
#include "proto/name.h"
#include "server/engine/engine.h"
#include "server/fleet/fleet.h"

#define SERVER_PATH_SIZE 1024

struct health_settings {
	uint64_t interval_ms; /* 0: no schedule */
	uint64_t timeout_ms;
	uint32_t concurrency, relay_concurrency;
	const char *script; /* file with the operator's own check; or NULL */
};

/* Borrows from the config that it was read from. */
struct server_settings {
	const char *state;
	const char *name; /* of this node; NULL: the host's; used by init */
	struct config_endpoint http;
	const char *const *http_names;
	size_t http_name_count;
	uint32_t http_connections;
	int64_t node_certificate_s; /* life of this node's */
	uint64_t settle_ms;         /* of rotations */
	uint32_t http_drain_ms;     /* not ready for so long, then stop */
	unsigned workers;
	struct health_settings health;
	struct engine_limits engine;
};

extern const struct config_program server_config;

/* RC_PROTO and fault: settings that contradict each other. */
MUST_CHECK enum rc server_settings_read(const struct config *config,
    struct server_settings *out, struct fault *fault);
MUST_CHECK enum rc server_settings_fleet(const struct config *config,
    struct fleet_settings *out, struct fault *fault);
/* out (SERVER_PATH_SIZE) = state/name.  RC_LIMIT: too long. */
MUST_CHECK enum rc server_path(const struct server_settings *settings,
    const char *name, char out[SERVER_PATH_SIZE], struct fault *fault);

/* The flags that server_config's options have of their own. */
#define SERVER_COMMAND_OPTIONS                                                 \
	CONFIG_COMMAND_OPTIONS,                                                \
	    { .name = "state", .argument = "DIR", .help = "State directory" }, \
	    { .name = "listen",                                                \
		    .argument = "HOST:PORT",                                   \
		    .help = "Where relays and tentacles connect" },            \
	    { .name = "advertise",                                             \
		    .argument = "HOST:PORT",                                   \
		    .help = "The address that joiners are told to dial" },     \
	{                                                                      \
		.name = "http-listen", .argument = "HOST:PORT",                \
		.help = "Where the HTTP API listens"                           \
	}

#endif
