/*
 * name.h - names, ids, targets, paths, endpoints and identities as text.
 *
 * Everything that a person or a peer may name passes through here.  Names are
 * plain ASCII without separators, so that they are safe in paths of files, in
 * URLs, in certificates and in logs.  A struct that came out of a *_parse is
 * valid; a *_parse that fails leaves *out alone and tells the fault (which
 * may be NULL) what is wrong, the limit, and the remedy.  All text is
 * NUL-terminated; arrays hold the NUL.  Any thread.
 */
#ifndef PROTO_NAME_H
#define PROTO_NAME_H

#include "proto/kind.h"
#include "proto/rc.h"
#include "proto/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_LEN_MAX   63
#define NAME_SIZE      (NAME_LEN_MAX + 1)
#define ID_BYTES       16 /* of machines, clusters, tickets, journals... */
#define ID_SIZE        (2 * ID_BYTES + 1)
#define DIGEST_BYTES   32 /* SHA-256 */
#define DIGEST_SIZE    (2 * DIGEST_BYTES + 1)
#define VARIABLE_SIZE  (100 + 1)
#define USER_SIZE      (32 + 1) /* of an operating system's */
#define TASK_SIZE      (100 + 1)
#define TARGET_SIZE    (8 + NAME_SIZE)
#define PATH_NAMES_MAX 8
#define PATH_SIZE      512 /* PATH_NAMES_MAX times NAME_SIZE */
#define HOST_SIZE      (253 + 1)
#define ENDPOINT_SIZE  (HOST_SIZE + 8) /* [host]:65535 */
#define SPIFFE_SIZE    (9 + 32 + 1 + 9 + NAME_SIZE)

/* [A-Za-z0-9][A-Za-z0-9._-]{0,62}: machines, relays, environments, roles... */
bool name_is_valid(const char *text);
/* As a name, and '+' too: 5.17.14, 1.0.0-rc.1+7. */
bool version_is_valid(const char *text);
/* [A-Za-z_][A-Za-z0-9_.:-]{0,99} */
bool variable_is_valid(const char *text);
bool user_is_valid(const char *text);
/* 1 to 100 of A-Z a-z 0-9 . _ - /: the id of a task. */
bool task_is_valid(const char *text);
/* 32 lower-case hexadecimal digits. */
bool id_is_valid(const char *text);
/* 64 lower-case hexadecimal digits. */
bool digest_is_valid(const char *text);
/* The rules above in words, for messages. */
#define NAME_RULE                                                              \
	"1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or" \
	" digit"

/* Like the above with a fault: what ("relay") is named in its text. */
MUST_CHECK enum rc name_check(
    const char *what, const char *text, struct fault *fault);

/* out has 2 * len + 1 bytes. */
void hex_format(const uint8_t *bytes, size_t len, char *out);
/* Exactly len bytes from 2 * len lower-case digits; RC_PROTO else. */
MUST_CHECK enum rc hex_parse(const char *text, uint8_t *bytes, size_t len);

/* Where a stream goes: "machine/<id>", "relay/<name>" or "server". */
enum target_kind {
	TARGET_SERVER,
	TARGET_RELAY,
	TARGET_MACHINE
};

struct target {
	enum target_kind kind;
	char name[NAME_SIZE]; /* the machine's id, the relay's name, or "" */
};

MUST_CHECK enum rc target_parse(
    const char *text, struct target *out, struct fault *fault);
void target_format(const struct target *target, char out[TARGET_SIZE]);
bool target_is_valid(const char *text);

/* The relays still to pass, nearest first: "dc2-a/dc2-c", or "direct". */
struct path {
	size_t count; /* 0: direct */
	char names[PATH_NAMES_MAX][NAME_SIZE];
};

MUST_CHECK enum rc path_parse(
    const char *text, struct path *out, struct fault *fault);
void path_format(const struct path *path, char out[PATH_SIZE]);
bool path_has(const struct path *path, const char *name);
/*
 * Append a name.  RC_LIMIT: there are 8; RC_EXISTS: it is there; RC_PROTO: it
 * is not a name.  The path is unchanged then.
 */
MUST_CHECK enum rc path_append(struct path *path, const char *name);
/* Take the first name off; false: the path was empty. */
bool path_shift(struct path *path, char out[NAME_SIZE]);

/* "web-03.example:10933", "10.0.0.3:10933", "[fd00::1]:10933". */
struct endpoint {
	char host[HOST_SIZE]; /* without the brackets of an IPv6 address */
	uint16_t port;        /* 1 to 65535 */
};

/* default_port is used when the text has none; 0: the port is required. */
MUST_CHECK enum rc endpoint_parse(const char *text, uint16_t default_port,
    struct endpoint *out, struct fault *fault);
void endpoint_format(const struct endpoint *e, char out[ENDPOINT_SIZE]);
/* With a port. */
bool endpoint_is_valid(const char *text);

/* Identity in a certificate: spiffe://<cluster id>/<role>/<name>. */
struct spiffe {
	char cluster[ID_SIZE];
	enum peer_role role;  /* never ROLE_ANONYMOUS */
	char name[NAME_SIZE]; /* node or relay name; a tentacle's machine id */
};

MUST_CHECK enum rc spiffe_parse(
    const char *text, struct spiffe *out, struct fault *fault);
void spiffe_format(const struct spiffe *id, char out[SPIFFE_SIZE]);

#endif
