/*
 * login.h - where the server is, how to know it, and the key to show it.
 *
 * A login file is one JSON object (0600), as `longarm-server init` writes
 * operator.login:
 *
 *     {"url": "https://server:8443", "ca_pin": "sha256:9f86...", "key":
 * "lk1..."}
 *
 * ca_pin is the SHA-256 of the public key of the root that signed the server's
 * certificate.  Kept in $LONGARM_LOGIN, $XDG_CONFIG_HOME/longarm/login or
 * ~/.config/longarm/login.  LONGARM_URL, LONGARM_CA_PIN and
 * LONGARM_TOKEN_FILE (a file with the key) override its members.
 */
#ifndef SERVER_CLI_LOGIN_H
#define SERVER_CLI_LOGIN_H

#include "common/secret.h"
#include "proto/reason.h"

#include <stdbool.h>
#include <stdint.h>

#define LOGIN_URL_SIZE  512
#define LOGIN_PIN_SIZE  32
#define LOGIN_PIN_TEXT  72 /* "sha256:" + 64 + NUL */
#define LOGIN_PATH_SIZE 4096

struct login {
	char url[LOGIN_URL_SIZE]; /* https://host:port, no slash at the end */
	bool pinned;              /* else: the certificates of the system */
	uint8_t pin[LOGIN_PIN_SIZE];
	struct secret *key; /* owned */
};

void login_clear(struct login *login);

/* Text of a login file.  RC_PROTO: the fault says which member is wrong. */
MUST_CHECK enum rc login_parse(
    const char *text, size_t len, struct login *out, struct fault *fault);
/* "https://host[:port]"; 8443 when it has no port. */
MUST_CHECK enum rc login_parse_url(
    const char *text, char out[LOGIN_URL_SIZE], struct fault *fault);
MUST_CHECK enum rc login_parse_pin(
    const char *text, uint8_t out[LOGIN_PIN_SIZE], struct fault *fault);
void login_format_pin(
    const uint8_t pin[LOGIN_PIN_SIZE], char out[LOGIN_PIN_TEXT]);

/* RC_NOTFOUND: no home directory to keep one in. */
MUST_CHECK enum rc login_path(char out[LOGIN_PATH_SIZE], struct fault *fault);
MUST_CHECK enum rc login_read(
    const char *path, struct login *out, struct fault *fault);
/* 0600, its directory 0700. */
MUST_CHECK enum rc login_write(
    const char *path, const struct login *login, struct fault *fault);
/* From file and environment.  RC_NOTFOUND: not logged in. */
MUST_CHECK enum rc login_load(struct login *out, struct fault *fault);

#endif
