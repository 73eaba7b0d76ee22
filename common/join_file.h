/*
 * join_file.h - joining without a network: a request and an answer that people
 * carry.
 *
 *     joiner: request (CSR, and what it says of itself) -> file
 *     server: file -> signs -> answer (what `enrolled` would say) -> file
 *     joiner: file -> only if it is for its own key -> member
 *
 * Neither file is secret.  The answer is believed because a person brought it:
 * there is no token, and no pin.
 */
#ifndef COMMON_JOIN_FILE_H
#define COMMON_JOIN_FILE_H

#include "common/join.h"

#define JOIN_REQUEST_MAX 16384  /* characters */
#define JOIN_ANSWER_MAX  131072 /* characters */

struct join_request {
	enum peer_role role;             /* relay or tentacle */
	char hostname[MSG_TEXT_MAX + 1]; /* may be empty */
	char version[NAME_SIZE];         /* may be empty */
	char listen[ENDPOINT_SIZE];      /* where to dial it, or empty */
	uint8_t csr[ENROL_CSR_MAX];      /* DER, not examined */
	size_t csr_len;
};

/* Lines for people, then the request in PEM; free(*out). */
MUST_CHECK enum rc join_request_format(
    const struct join_request *request, char **out);
/* RC_PROTO: *fault says which part is wrong. */
MUST_CHECK enum rc join_request_parse(const char *text, size_t len,
    struct join_request *out, struct fault *fault);
/* enrolled: the encoded message; free(*out). */
MUST_CHECK enum rc join_answer_format(
    const char *name, struct bytes enrolled, char **out);
/* free(*out), which holds the encoded message. */
MUST_CHECK enum rc join_answer_parse(const char *text, size_t len,
    uint8_t **out, size_t *out_len, struct fault *fault);

/*
 * Make the key of join->state_dir, or take the one that waits there, and write
 * the request to path.  join's token and endpoints are not used.
 */
MUST_CHECK enum rc join_write_request(
    const struct join *join, const char *path, struct fault *fault);
/*
 * Take the answer to it.  RC_CRYPTO, RC_DENIED: it is for another key or role;
 * else as join_run().
 */
MUST_CHECK enum rc join_take_answer(const struct join *join, const char *path,
    struct joined *out, struct fault *fault);

#endif
