/*
 * settings.h - the settings that all programs share: log, link timers.
 *
 *     static const struct config_option options[] = {
 *             SETTINGS_LOG, SETTINGS_LINK, { .section = "relay", ... }
 *     };
 */
#ifndef COMMON_SETTINGS_H
#define COMMON_SETTINGS_H

#include "common/config.h"
#include "common/link.h"
#include "common/loop.h"

#define SETTINGS_LOG                                                           \
	{ .section = "log",                                                    \
		.key = "level",                                                \
		.type = CONFIG_STRING,                                         \
		.initial = "info",                                             \
		.choices = "error|warn|info|debug",                            \
		.help = "Least important lines that are written" },            \
	{                                                                      \
		.section = "log", .key = "format", .type = CONFIG_STRING,      \
		.initial = "logfmt", .choices = "logfmt|json",                 \
		.help = "How a line looks"                                     \
	}

#define SETTINGS_LINK_TIME(k, value, text)                                     \
	{                                                                      \
		.section = "link", .key = (k), .type = CONFIG_DURATION,        \
		.initial = (value), .min = 1, .max = 3600000, .help = (text)   \
	}

#define SETTINGS_LINK                                                          \
	SETTINGS_LINK_TIME(                                                    \
	    "ping-idle", "15s", "PING after so long a silence"),               \
	    SETTINGS_LINK_TIME("ping-busy", "5s", "PING so often in traffic"), \
	    SETTINGS_LINK_TIME(                                                \
		"dead", "10s", "Give a link up after an unanswered PING"),     \
	    SETTINGS_LINK_TIME("connect", "10s", "Limit of a TCP connect"),    \
	    SETTINGS_LINK_TIME("handshake", "10s", "Limit of TLS and HELLO"),  \
	    SETTINGS_LINK_TIME(                                                \
		"anonymous", "30s", "Life of a link without a certificate"),   \
	    SETTINGS_LINK_TIME(                                                \
		"user-timeout", "30s", "TCP_USER_TIMEOUT of the socket"),      \
	    SETTINGS_LINK_TIME(                                                \
		"backoff-min", "500ms", "First wait before dialling again"),   \
	    SETTINGS_LINK_TIME("backoff-max", "60s", "Longest such wait"),     \
	    SETTINGS_LINK_TIME("refresh", "1h",                                \
		"After a renewal, a link is opened anew within this time"),    \
	    { .section = "link",                                               \
		    .key = "handshakes",                                       \
		    .type = CONFIG_INT,                                        \
		    .initial = "512",                                          \
		    .min = 1,                                                  \
		    .max = 100000,                                             \
		    .help = "Handshakes at once; more connections wait" },     \
	    { .section = "link",                                               \
		    .key = "handshakes-waiting",                               \
		    .type = CONFIG_INT,                                        \
		    .initial = "4096",                                         \
		    .min = 0,                                                  \
		    .max = 100000,                                             \
		    .help = "Connections that wait for room for their "        \
			    "handshake; more are dropped" },                   \
	    { .section = "link",                                               \
		    .key = "anonymous-max",                                    \
		    .type = CONFIG_INT,                                        \
		    .initial = "64",                                           \
		    .min = 1,                                                  \
		    .max = 100000,                                             \
		    .help = "Joiners without a certificate at once" },         \
	    { .section = "link",                                               \
		    .key = "handshakes-per-address",                           \
		    .type = CONFIG_INT,                                        \
		    .initial = "384",                                          \
		    .min = 1,                                                  \
		    .max = 100000,                                             \
		    .help = "Of the handshakes, from one IPv4 address or "     \
			    "IPv6 /64" },                                      \
	    { .section = "link",                                               \
		    .key = "anonymous-per-address",                            \
		    .type = CONFIG_INT,                                        \
		    .initial = "48",                                           \
		    .min = 1,                                                  \
		    .max = 100000,                                             \
		    .help = "Of the joiners, from one IPv4 address or "        \
			    "IPv6 /64" },                                      \
	    { .section = "link",                                               \
		    .key = "receive-budget",                                   \
		    .type = CONFIG_SIZE,                                       \
		    .initial = "256M",                                         \
		    .min = 1,                                                  \
		    .max = INT64_MAX,                                          \
		    .needs_restart = true,                                     \
		    .help = "What may be granted to all streams together, "    \
			    "and what may wait unread in them: above it for "  \
			    "a second, streams end with `memory`" },           \
	    { .section = "link",                                               \
		    .key = "proxy",                                            \
		    .type = CONFIG_PROXY,                                      \
		    .needs_restart = true,                                     \
		    .help =                                                    \
			"Dial through this proxy: http://HOST:PORT (CONNECT) " \
			"or socks5://HOST:PORT; unset: directly" },            \
	    { .section = "link",                                               \
		    .key = "proxy-credentials",                                \
		    .type = CONFIG_PATH,                                       \
		    .needs_restart = true,                                     \
		    .help =                                                    \
			"File with user:password for the proxy, readable by "  \
			"nobody else; read at every dial" },                   \
	{                                                                      \
		.section = "link", .key = "no-proxy", .type = CONFIG_LIST,     \
		.needs_restart = true,                                         \
		.help = "Hosts, .domains and networks that are dialled "       \
			"directly all the same"                                \
	}

/* Take the log settings into use. */
void settings_log(const struct config *c);
/* out borrows from c. */
void settings_link(const struct config *c, struct link_config *out);

/* --- Running until told to stop ------------------------------------------- */

/* TERM and INT stop the loop; HUP calls reload (may be NULL).  PIPE is
 * ignored.  Core dumps are off, umask is 077. */
struct daemon;
MUST_CHECK enum rc daemon_new(struct loop *loop, void (*reload)(void *arg),
    void *arg, struct daemon **out);
void daemon_free(struct daemon *d);
/* Tell systemd ("READY=1", "STATUS=...") when NOTIFY_SOCKET is set. */
void daemon_notify(const char *state);

#endif
