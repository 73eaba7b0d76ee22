/*
 * init.h - make a cluster: its authorities, its keys, its first node.
 *
 * Everything that the state directory must hold before `serve`; see
 * settings.h.  operator.login (0600) is for `longarm login --file`, JSON:
 *
 *     {"format": 1, "url": "https://longarm.example:8443",
 *      "ca_pin": "<SHA-256 of the root's public key, 64 hex digits>",
 *      "ca": "-----BEGIN CERTIFICATE-----...", "key": "lk1...."}
 */
#ifndef SERVER_INIT_H
#define SERVER_INIT_H

#include "server/settings.h"

#include <openssl/types.h>

#define INIT_URL_SIZE 300

struct init_request {
	const struct server_settings *settings;
	const char *node; /* name; NULL: the setting's, else the host's */
	/* Of the HTTPS certificate; none: the setting's, else the host's. */
	const char *const *http_names;
	size_t http_name_count;
	const char *url; /* of the HTTP API; NULL: the first name and port */
};

/* What a person is told. */
struct init_report {
	char cluster[ID_SIZE];
	char node[NAME_SIZE];
	char url[INIT_URL_SIZE];
	char ca_pin[DIGEST_SIZE];
	char login[SERVER_PATH_SIZE]; /* path of operator.login */
};

/*
 * RC_EXISTS: there is a cluster already; nothing was changed.  Otherwise what
 * was begun is removed again on failure, and *fault says what failed.
 */
MUST_CHECK enum rc server_init(const struct init_request *request,
    struct init_report *report, struct fault *fault);

/*
 * operator.login says port 0 (the kernel chooses): write what it really is.
 * Nothing to do when the file is gone or says another port.
 */
void init_login_port(const struct server_settings *settings, uint16_t port);
/* operator.login shall name this root.  The same. */
void init_login_root(const struct server_settings *settings, X509 *root);

#endif
