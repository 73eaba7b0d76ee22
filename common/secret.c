#include "common/secret.h"

#include "common/log.h"
#include "common/random.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct secret {
	size_t len;
	uint8_t data[]; /* len bytes and a NUL */
};

static struct secret *allocate(size_t len)
{
	struct secret *s = calloc(1, sizeof(*s) + len + 1);

	if (s != NULL)
		s->len = len;
	return s;
}

enum rc secret_new(const void *data, size_t len, struct secret **out)
{
	struct secret *s;

	if (len > SECRET_MAX)
		return RC_LIMIT;
	s = allocate(len);
	if (s == NULL)
		return RC_NOMEM;
	if (len > 0)
		memcpy(s->data, data, len);
	*out = s;
	return RC_OK;
}

/* Up to size bytes, until the end of the file. */
static enum rc read_up_to(int fd, uint8_t *data, size_t size, size_t *len)
{
	*len = 0;
	while (*len < size) {
		ssize_t n = read(fd, data + *len, size - *len);

		if (n < 0 && errno != EINTR)
			return RC_IO;
		if (n == 0)
			break;
		if (n > 0)
			*len += (size_t)n;
	}
	return RC_OK;
}

static void warn_when_open_to_others(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mode & 077) != 0)
		log_warn("secret", NULL,
		    "%s can be read by others (mode %03o); remedy: chmod 600",
		    path, (unsigned)(st.st_mode & 0777));
}

/* Cut the newline that editors and echo leave; shrink to what was read. */
static enum rc from_file(int fd, const char *path, size_t limit,
    struct secret **out, struct fault *fault)
{
	/* Two more: a CR LF at the end does not count, a third byte does. */
	struct secret *s = allocate(limit + 3);
	enum rc rc;

	if (s == NULL)
		return RC_NOMEM;
	rc = read_up_to(fd, s->data, limit + 3, &s->len);
	if (rc != RC_OK) {
		fault_set(fault, REASON_BAD_CONFIG, "", "cannot read %s: %s",
		    path, strerrordesc_np(errno));
		s->len = limit + 3;
		goto out;
	}
	if (s->len > 0 && s->data[s->len - 1] == '\n')
		s->len--;
	if (s->len > 0 && s->data[s->len - 1] == '\r')
		s->len--;
	if (s->len == 0 || s->len > limit) {
		rc = s->len == 0 ? RC_PROTO : RC_LIMIT;
		fault_set(fault, REASON_BAD_CONFIG, "",
		    s->len == 0 ? "%s is empty"
				: "%s is longer than the limit of %zu bytes",
		    path, limit);
		goto out;
	}
	rc = secret_new(s->data, s->len, out);
out:
	OPENSSL_cleanse(s->data, limit + 3);
	free(s);
	return rc;
}

enum rc secret_read(
    const char *path, size_t limit, struct secret **out, struct fault *fault)
{
	bool is_stdin = strcmp(path, "-") == 0;
	const char *shown = is_stdin ? "standard input" : path;
	int fd = STDIN_FILENO;
	enum rc rc;

	if (limit > SECRET_MAX)
		limit = SECRET_MAX;
	if (!is_stdin) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0) {
			fault_set(fault, REASON_BAD_CONFIG, "",
			    "cannot open %s: %s", path, strerrordesc_np(errno));
			return RC_IO;
		}
		warn_when_open_to_others(fd, path);
	}
	rc = from_file(fd, shown, limit, out, fault);
	if (!is_stdin)
		(void)close(fd);
	return rc;
}

void secret_free(struct secret *s)
{
	if (s == NULL)
		return;
	OPENSSL_cleanse(s, sizeof(*s) + s->len);
	free(s);
}

const uint8_t *secret_data(const struct secret *s)
{
	return s->data;
}

size_t secret_len(const struct secret *s)
{
	return s->len;
}

bool secret_equals_bytes(const struct secret *a, const void *data, size_t len)
{
	return a->len == len && CRYPTO_memcmp(a->data, data, len) == 0;
}

void secret_wipe(void *data, size_t len)
{
	OPENSSL_cleanse(data, len);
}
