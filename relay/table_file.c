#include "relay/table_file.h"

#include "common/fs.h"
#include "common/log.h"
#include "proto/crc.h"
#include "proto/lenframe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_SIZE_MAX ((size_t)256 * 1024 * 1024)
#define HEADER        8
/* Written anew when it is longer than twice the table and this. */
#define SPARE ((size_t)1024 * 1024)
/* After a failure, so many messages go by before it is tried again. */
#define SKIP_AFTER_FAILURE 64

struct table_file {
	char path[1200];
	int fd; /* -1: it could not be written */
	size_t size, base;
	unsigned rewrites;
	unsigned skip;
};

static void put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

/* --- Reading ---------------------------------------------------------------
 */

/* The next message; false: the end, or a record that is not whole. */
static bool next_record(struct bytes *file, struct bytes *message)
{
	uint32_t len;

	if (file->len < HEADER)
		return false;
	len = get_u32(file->p);
	if (len == 0 || len > LENFRAME_CONTROL_MAX || file->len - HEADER < len)
		return false;
	*message = bytes_of(file->p + HEADER, len);
	if (crc32_more(0, message->p, len) != get_u32(file->p + 4))
		return false;
	*file = bytes_of(file->p + HEADER + len, file->len - HEADER - len);
	return true;
}

static MUST_CHECK enum rc replay(struct table *t, struct bytes message)
{
	struct msg_table_page page;
	struct fault fault;
	bool changed;
	enum rc rc = msg_table_page_decode(message, &page, &fault);

	if (rc == RC_OK)
		rc = table_apply(t, &page, &changed, &fault);
	msg_table_page_clear(&page);
	return rc;
}

/* *whole: how many bytes of it are good. */
static MUST_CHECK enum rc load(
    struct table *t, struct bytes file, size_t *whole)
{
	size_t len = file.len;
	struct bytes message;
	enum rc rc = RC_OK;

	*whole = 0;
	while (rc == RC_OK && next_record(&file, &message)) {
		rc = replay(t, message);
		if (rc == RC_OK)
			*whole = len - file.len;
	}
	if (rc != RC_OK || table_seq(t) == 0) {
		/* Of another program, or the first of it is lost. */
		table_clear(t);
		*whole = 0;
	}
	return rc == RC_NOMEM ? rc : RC_OK;
}

static MUST_CHECK enum rc read_file(
    struct table_file *f, struct table *t, struct fault *fault)
{
	uint8_t *data = NULL;
	size_t len = 0;
	enum rc rc = fs_read_file(f->path, FILE_SIZE_MAX, &data, &len, fault);

	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc == RC_LIMIT)
		len = 0; /* it will be written anew */
	else if (rc != RC_OK)
		return rc;
	rc = load(t, bytes_of(data, len), &f->size);
	free(data);
	f->base = f->size;
	if (rc == RC_OK && f->size < len)
		log_warn("relay", f->path,
		    "%zu of its %zu bytes are no route table; the server sends "
		    "what is missing",
		    len - f->size, len);
	return rc;
}

/* --- Writing ---------------------------------------------------------------
 */

static void failed(struct table_file *f, const char *what)
{
	log_warn("relay", f->path,
	    "%s: %s; after a restart the server must send the route table anew",
	    what, strerrordesc_np(errno));
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
	f->skip = SKIP_AFTER_FAILURE;
}

static void append_header(struct packbuf *out, size_t mark)
{
	uint8_t *p = out->data + mark;
	size_t len = out->len - mark - HEADER;

	put_u32(p, (uint32_t)len);
	put_u32(p + 4, crc32_more(0, p + HEADER, len));
}

static MUST_CHECK enum rc encode_all(const struct table *t, struct packbuf *out)
{
	static const uint8_t room[HEADER];
	struct table_export x = { .page = 0 };
	enum rc rc = RC_OK;

	while (!x.done && rc == RC_OK) {
		size_t mark = out->len;

		packbuf_append(out, bytes_of(room, HEADER));
		rc = table_export_page(t, &x, out);
		if (rc == RC_OK)
			rc = packbuf_rc(out);
		if (rc == RC_OK)
			append_header(out, mark);
	}
	return rc;
}

static bool replace(struct table_file *f, struct bytes content)
{
	char beside[sizeof(f->path) + 8];
	int fd;

	(void)snprintf(beside, sizeof(beside), "%s.new", f->path);
	fd = open(beside,
	    O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
	    0600);
	if (fd < 0)
		return false;
	if (fs_write_all(fd, content.p, content.len) != RC_OK ||
	    rename(beside, f->path) != 0) {
		int saved = errno;

		(void)close(fd);
		(void)unlink(beside);
		errno = saved;
		return false;
	}
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = fd;
	f->size = f->base = content.len;
	f->rewrites++;
	return true;
}

static void rewrite(struct table_file *f, const struct table *t)
{
	struct packbuf out;

	packbuf_init(&out, FILE_SIZE_MAX);
	if (encode_all(t, &out) != RC_OK) {
		errno = ENOMEM;
		failed(f, "cannot be written");
	} else if (!replace(f, packbuf_bytes(&out))) {
		failed(f, "cannot be written");
	}
	packbuf_fini(&out);
}

static void append(struct table_file *f, struct bytes message)
{
	uint8_t header[HEADER];

	put_u32(header, (uint32_t)message.len);
	put_u32(header + 4, crc32_more(0, message.p, message.len));
	if (fs_write_all(f->fd, header, HEADER) != RC_OK ||
	    fs_write_all(f->fd, message.p, message.len) != RC_OK) {
		failed(f, "cannot be written");
		return;
	}
	f->size += HEADER + message.len;
}

void table_file_add(struct table_file *f, const struct table *t,
    const struct msg_table_page *page, struct bytes message)
{
	bool full = page->from_seq == 0;

	/* The old one is good until all pages of the new are there. */
	if (full && !page->last)
		return;
	if (f->fd < 0 && !full && f->skip > 0) {
		f->skip--;
		return;
	}
	/* What has outgrown its use; and between two pages is no time for it.
	 */
	if (full || (page->last && (f->fd < 0 || f->base == 0 ||
				       f->size > 2 * f->base + SPARE)))
		rewrite(f, t);
	else if (f->fd >= 0)
		append(f, message);
}

/* --- Life ------------------------------------------------------------------
 */

enum rc table_file_open(const char *path, struct table *t,
    struct table_file **out, struct fault *fault)
{
	struct table_file *f = calloc(1, sizeof(*f));
	enum rc rc;

	if (f == NULL)
		return RC_NOMEM;
	f->fd = -1;
	(void)snprintf(f->path, sizeof(f->path), "%s", path);
	rc = read_file(f, t, fault);
	if (rc != RC_OK) {
		free(f);
		return rc;
	}
	f->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	/* What comes behind a torn record would never be read. */
	if (f->fd < 0 || ftruncate(f->fd, (off_t)f->size) != 0)
		failed(f, "cannot be opened");
	*out = f;
	return RC_OK;
}

void table_file_close(struct table_file *f)
{
	if (f == NULL)
		return;
	if (f->fd >= 0)
		(void)close(f->fd);
	free(f);
}

size_t table_file_size(const struct table_file *f)
{
	return f->size;
}

unsigned table_file_rewrites(const struct table_file *f)
{
	return f->rewrites;
}
