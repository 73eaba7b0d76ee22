#include "common/join_file.h"

#include "common/buf.h"
#include "common/hex.h"
#include "common/join_private.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define ANSWER_LABEL "LONGARM JOIN ANSWER"
#define FIRST_LINE   "Longarm request to join\n"

/* --- PEM ------------------------------------------------------------------ */

/* All that was written to bio, as text. */
static MUST_CHECK enum rc take_text(BIO *bio, char **out)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);

	*out = len > 0 ? strndup(data, (size_t)len) : NULL;
	return *out != NULL ? RC_OK : RC_NOMEM;
}

static MUST_CHECK enum rc pem_of(
    const char *head, const char *label, struct bytes data, char **out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	enum rc rc = RC_NOMEM;

	if (bio != NULL && BIO_puts(bio, head) > 0 &&
	    PEM_write_bio(bio, label, "", data.p, (long)data.len) > 0)
		rc = take_text(bio, out);
	BIO_free(bio);
	return rc;
}

/* The first block of that label; free(*out). */
static MUST_CHECK enum rc block_of(const char *text, size_t len,
    const char *label, uint8_t **out, size_t *out_len)
{
	BIO *bio = BIO_new_mem_buf(text, (int)len);
	char *name = NULL, *header = NULL;
	unsigned char *data = NULL;
	long size = 0;
	enum rc rc = RC_NOTFOUND;

	if (bio == NULL)
		return RC_NOMEM;
	if (PEM_read_bio(bio, &name, &header, &data, &size) == 1 && size > 0 &&
	    strcmp(name, label) == 0 && header[0] == '\0') {
		*out = malloc((size_t)size);
		rc = *out != NULL ? RC_OK : RC_NOMEM;
		if (rc == RC_OK)
			memcpy(*out, data, (size_t)size);
		*out_len = (size_t)size;
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(data);
	BIO_free(bio);
	return rc;
}

/* --- The request ---------------------------------------------------------- */

enum rc join_request_format(const struct join_request *request, char **out)
{
	struct buf head;
	enum rc rc;

	buf_init(&head, 4096);
	rc = buf_printf(
	    &head, FIRST_LINE "role: %s\n", role_name(request->role));
	if (rc == RC_OK && request->hostname[0] != '\0')
		rc = buf_printf(&head, "host: %s\n", request->hostname);
	if (rc == RC_OK && request->version[0] != '\0')
		rc = buf_printf(&head, "version: %s\n", request->version);
	if (rc == RC_OK && request->listen[0] != '\0')
		rc = buf_printf(&head, "listen: %s\n", request->listen);
	if (rc == RC_OK)
		rc = pem_of((const char *)head.data, PEM_STRING_X509_REQ,
		    bytes_of(request->csr, request->csr_len), out);
	buf_fini(&head);
	return rc;
}

static bool is_plain(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~')
			return false;
	}
	return true;
}

/* One "key: value"; others, of later programs, are passed over. */
static MUST_CHECK enum rc read_line(
    struct join_request *r, const char *line, struct fault *fault)
{
	const char *colon = strstr(line, ": ");
	const char *value = colon != NULL ? colon + 2 : "";
	size_t len = colon != NULL ? (size_t)(colon - line) : 0;
	bool good = is_plain(value);

	if (len == 4 && strncmp(line, "role", len) == 0)
		good = role_parse(value, &r->role) == RC_OK &&
		       (r->role == ROLE_RELAY || r->role == ROLE_TENTACLE);
	else if (len == 4 && strncmp(line, "host", len) == 0)
		good = good && snprintf(r->hostname, sizeof(r->hostname), "%s",
				   value) < (int)sizeof(r->hostname);
	else if (len == 7 && strncmp(line, "version", len) == 0)
		good = good && snprintf(r->version, sizeof(r->version), "%s",
				   value) < (int)sizeof(r->version);
	else if (len == 6 && strncmp(line, "listen", len) == 0)
		good = endpoint_is_valid(value) &&
		       snprintf(r->listen, sizeof(r->listen), "%s", value) <
		           (int)sizeof(r->listen);
	if (good)
		return RC_OK;
	fault_set(fault, REASON_BAD_CONFIG, "",
	    "the request to join is damaged: its line %.20s", line);
	return RC_PROTO;
}

static MUST_CHECK enum rc read_lines(
    const char *text, size_t len, struct join_request *r, struct fault *fault)
{
	const char *end = memmem(text, len, "-----BEGIN", 10);
	char *copy = NULL, *save = NULL;
	enum rc rc = RC_OK;

	if (end == NULL || strncmp(text, FIRST_LINE, strlen(FIRST_LINE)) != 0) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "this is no request to join; it is made by: "
		    "longarm-tentacle join --request FILE");
		return RC_PROTO;
	}
	text += strlen(FIRST_LINE);
	copy = strndup(text, (size_t)(end - text));
	if (copy == NULL)
		return RC_NOMEM;
	for (char *line = strtok_r(copy, "\r\n", &save);
	     line != NULL && rc == RC_OK; line = strtok_r(NULL, "\r\n", &save))
		rc = read_line(r, line, fault);
	free(copy);
	return rc;
}

enum rc join_request_parse(
    const char *text, size_t len, struct join_request *out, struct fault *fault)
{
	uint8_t *csr = NULL;
	enum rc rc;

	*out = (struct join_request){ .role = ROLE_ANONYMOUS };
	if (len > JOIN_REQUEST_MAX || memchr(text, '\0', len) != NULL) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "a request to join is a text of at most %d characters",
		    JOIN_REQUEST_MAX);
		return RC_PROTO;
	}
	rc = read_lines(text, len, out, fault);
	if (rc != RC_OK)
		return rc;
	rc = block_of(text, len, PEM_STRING_X509_REQ, &csr, &out->csr_len);
	if (rc == RC_NOMEM)
		return rc;
	if (rc != RC_OK || out->csr_len > sizeof(out->csr) ||
	    out->role == ROLE_ANONYMOUS) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "the request to join is damaged: %s",
		    rc == RC_OK ? "role or size of its certificate request"
				: "no CERTIFICATE REQUEST in it");
		rc = RC_PROTO;
	} else {
		memcpy(out->csr, csr, out->csr_len);
	}
	free(csr);
	return rc;
}

/* --- The answer ----------------------------------------------------------- */

enum rc join_answer_format(const char *name, struct bytes enrolled, char **out)
{
	char head[256];

	(void)snprintf(head, sizeof(head),
	    "Longarm answer for %s.  There: join --answer FILE\n", name);
	return pem_of(head, ANSWER_LABEL, enrolled, out);
}

enum rc join_answer_parse(const char *text, size_t len, uint8_t **out,
    size_t *out_len, struct fault *fault)
{
	enum rc rc = RC_NOTFOUND;

	if (len <= JOIN_ANSWER_MAX)
		rc = block_of(text, len, ANSWER_LABEL, out, out_len);
	if (rc == RC_NOTFOUND) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "this is no answer to a request to join; it is made by: "
		    "longarm machine sign FILE, or longarm relay sign FILE");
		rc = RC_PROTO;
	}
	return rc;
}

/* --- On the joiner -------------------------------------------------------- */

static MUST_CHECK enum rc fill(const struct join *join,
    const struct identity *identity, struct join_request *r)
{
	struct utsname host;
	uint8_t *csr = NULL;
	size_t len = 0;
	enum rc rc = identity_csr(identity, &csr, &len);

	*r = (struct join_request){ .role = join->role };
	if (rc == RC_OK && len > sizeof(r->csr))
		rc = RC_LIMIT;
	if (rc == RC_OK) {
		memcpy(r->csr, csr, len);
		r->csr_len = len;
	}
	free(csr);
	(void)uname(&host);
	(void)snprintf(r->hostname, sizeof(r->hostname), "%s", host.nodename);
	(void)snprintf(r->version, sizeof(r->version), "%s", LONGARM_VERSION);
	(void)snprintf(r->listen, sizeof(r->listen), "%s", join->listen);
	return rc;
}

enum rc join_write_request(
    const struct join *join, const char *path, struct fault *fault)
{
	struct join_request request;
	struct joining joining;
	char *text = NULL;
	enum rc rc =
	    joining_begin(join->state_dir, join->role, &joining, fault);

	if (rc == RC_OK)
		rc = fill(join, joining.identity, &request);
	if (rc == RC_OK)
		rc = join_request_format(&request, &text);
	if (rc == RC_OK)
		rc = fs_write_atomic(path, text, strlen(text), 0644, fault);
	free(text);
	joining_leave(&joining);
	return rc;
}

static MUST_CHECK enum rc keep(struct joining *joining,
    const struct msg_enrolled *m, struct joined *out, struct fault *fault)
{
	enum rc rc = joining_keep(joining, m, m->peers, m->peer_count, fault);

	if (rc != RC_OK)
		return rc;
	*out = (struct joined){ .via = "" };
	memcpy(out->id, m->id, sizeof(out->id));
	memcpy(out->name, m->name, sizeof(out->name));
	memcpy(out->cluster, m->cluster, sizeof(out->cluster));
	return RC_OK;
}

static MUST_CHECK enum rc read_answer(
    const char *path, uint8_t **out, size_t *len, struct fault *fault)
{
	uint8_t *text = NULL;
	size_t text_len = 0;
	enum rc rc =
	    fs_read_file(path, JOIN_ANSWER_MAX, &text, &text_len, fault);

	if (rc == RC_OK)
		rc = join_answer_parse(
		    (const char *)text, text_len, out, len, fault);
	free(text);
	return rc;
}

enum rc join_take_answer(const struct join *join, const char *path,
    struct joined *out, struct fault *fault)
{
	struct msg_enrolled m;
	struct joining joining;
	uint8_t *data = NULL;
	size_t len = 0;
	enum rc rc = read_answer(path, &data, &len, fault);

	if (rc != RC_OK)
		return rc;
	rc = msg_enrolled_decode(bytes_of(data, len), &m, fault);
	if (rc != RC_OK) {
		free(data);
		return rc;
	}
	rc = joining_begin(join->state_dir, join->role, &joining, fault);
	if (rc == RC_OK)
		rc = keep(&joining, &m, out, fault);
	rc = joining_end(&joining, rc, fault);
	msg_enrolled_clear(&m);
	free(data);
	return rc;
}
