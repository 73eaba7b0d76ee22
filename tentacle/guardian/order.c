#include "tentacle/guardian/order.h"

#include "proto/crc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t magic[7] = { 'L', 'G', 'O', 'R', 'D', 'E', 'R' };

#define PLAIN       '1'
#define BOUND       '2' /* with a user, or limits */
#define MAGIC_LEN   (sizeof(magic) + 1)
#define HEAD_LEN    (MAGIC_LEN + 4)
#define FIELD_EXTRA 6 /* tag, length, NUL */

enum tag {
	TAG_TICKET = 1,
	TAG_NAME = 2,
	TAG_WORKDIR = 3,
	TAG_ARG = 4,
	TAG_ENV = 5,
	TAG_TIMEOUT = 6,
	TAG_GRACE = 7,
	TAG_OUTPUT_MAX = 8,
	TAG_PASSING = 9,
	TAG_MEMORY = 10,
	TAG_PROCESSES = 11,
	TAG_UID = 12, /* with TAG_GID, and TAG_GROUP as often as needed */
	TAG_GID = 13,
	TAG_GROUP = 14
};

#define BIT(tag) (1u << (tag))
#define ALL_TAGS                                                               \
	(BIT(TAG_TICKET) | BIT(TAG_NAME) | BIT(TAG_WORKDIR) | BIT(TAG_ARG) |   \
	    BIT(TAG_TIMEOUT) | BIT(TAG_GRACE) | BIT(TAG_OUTPUT_MAX) |          \
	    BIT(TAG_PASSING))

/* --- Writing ------------------------------------------------------------ */

/* First with p NULL, to learn the length. */
struct writer {
	uint8_t *p;
	size_t len;
};

static void put_u32(uint8_t *p, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(n >> (8 * i));
}

static void put(struct writer *w, enum tag tag, const char *text)
{
	size_t len = strlen(text);

	if (w->p != NULL) {
		w->p[w->len] = (uint8_t)tag;
		put_u32(w->p + w->len + 1, (uint32_t)len);
		memcpy(w->p + w->len + 5, text, len + 1);
	}
	w->len += len + FIELD_EXTRA;
}

static void put_number(struct writer *w, enum tag tag, uint64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	put(w, tag, text);
}

static void put_all(struct writer *w, const struct guard_order *o)
{
	w->len = HEAD_LEN;
	put(w, TAG_TICKET, o->ticket);
	put(w, TAG_NAME, o->name);
	put(w, TAG_WORKDIR, o->workdir);
	for (size_t i = 0; i < o->arg_count; i++)
		put(w, TAG_ARG, o->args[i]);
	for (size_t i = 0; i < o->env_count; i++)
		put(w, TAG_ENV, o->env[i]);
	put_number(w, TAG_TIMEOUT, o->timeout_ms);
	put_number(w, TAG_GRACE, o->grace_ms);
	put_number(w, TAG_OUTPUT_MAX, o->output_max);
	put_number(w, TAG_PASSING, o->passing ? 1 : 0);
	put_number(w, TAG_MEMORY, o->memory);
	put_number(w, TAG_PROCESSES, o->processes);
	if (!o->has_user)
		return;
	put_number(w, TAG_GID, o->gid);
	put_number(w, TAG_UID, o->uid);
	for (size_t i = 0; i < o->group_count; i++)
		put_number(w, TAG_GROUP, o->groups[i]);
}

enum rc guard_order_encode(
    const struct guard_order *o, uint8_t **out, size_t *len)
{
	struct writer w = { .p = NULL };

	if (o->arg_count > GUARD_ARGS_MAX || o->group_count > GUARD_GROUPS_MAX)
		return RC_LIMIT;
	put_all(&w, o);
	if (w.len > GUARD_ORDER_MAX)
		return RC_LIMIT;
	w.p = malloc(w.len);
	if (w.p == NULL)
		return RC_NOMEM;
	put_all(&w, o);
	memcpy(w.p, magic, sizeof(magic));
	w.p[sizeof(magic)] =
	    o->has_user || o->memory > 0 || o->processes > 0 ? BOUND : PLAIN;
	put_u32(
	    w.p + MAGIC_LEN, crc32_more(0, w.p + HEAD_LEN, w.len - HEAD_LEN));
	*out = w.p;
	*len = w.len;
	return RC_OK;
}

/* --- Reading ------------------------------------------------------------ */

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

struct field {
	unsigned tag;
	char *text;
};

struct reader {
	uint8_t *data;
	size_t at, len;
};

/* RC_NOTFOUND: the end. */
static MUST_CHECK enum rc next_field(struct reader *r, struct field *f)
{
	uint8_t *p = r->data + r->at;
	size_t left = r->len - r->at, len;

	if (left == 0)
		return RC_NOTFOUND;
	if (left < FIELD_EXTRA)
		return RC_PROTO;
	len = get_u32(p + 1);
	if (len > left - FIELD_EXTRA ||
	    memchr(p + 5, '\0', len + 1) != p + 5 + len)
		return RC_PROTO;
	f->tag = p[0];
	f->text = (char *)p + 5;
	r->at += len + FIELD_EXTRA;
	return RC_OK;
}

static MUST_CHECK enum rc get_number(const char *text, uint64_t *out)
{
	uint64_t n = 0;
	size_t len = strspn(text, "0123456789");

	if (len == 0 || len > 19 || text[len] != '\0')
		return RC_PROTO;
	for (size_t i = 0; i < len; i++)
		n = n * 10 + (uint64_t)(text[i] - '0');
	*out = n;
	return RC_OK;
}

static MUST_CHECK enum rc take_arg(struct guard_order *o, char *text)
{
	if (o->arg_count >= GUARD_ARGS_MAX)
		return RC_PROTO;
	o->args[o->arg_count++] = text;
	return RC_OK;
}

/* Numbers of the kernel's; the highest means nobody. */
static MUST_CHECK enum rc get_id(const char *text, uint64_t *out)
{
	enum rc rc = get_number(text, out);

	return rc == RC_OK && *out >= UINT32_MAX ? RC_PROTO : rc;
}

static MUST_CHECK enum rc take_group(struct guard_order *o, const char *text)
{
	if (o->group_count >= GUARD_GROUPS_MAX)
		return RC_PROTO;
	return get_id(text, &o->groups[o->group_count++]);
}

/* env has room: it was counted. */
static MUST_CHECK enum rc take(
    struct guard_order *o, const struct field *f, char **env)
{
	uint64_t n = 0;
	enum rc rc = RC_OK;

	switch (f->tag) {
	case TAG_TICKET:
		o->ticket = f->text;
		break;
	case TAG_NAME:
		o->name = f->text;
		break;
	case TAG_WORKDIR:
		o->workdir = f->text;
		break;
	case TAG_ARG:
		return take_arg(o, f->text);
	case TAG_ENV:
		env[o->env_count++] = f->text;
		break;
	case TAG_TIMEOUT:
		return get_number(f->text, &o->timeout_ms);
	case TAG_GRACE:
		return get_number(f->text, &o->grace_ms);
	case TAG_OUTPUT_MAX:
		return get_number(f->text, &o->output_max);
	case TAG_PASSING:
		rc = get_number(f->text, &n);
		o->passing = n != 0;
		break;
	case TAG_MEMORY:
		return get_number(f->text, &o->memory);
	case TAG_PROCESSES:
		return get_number(f->text, &o->processes);
	case TAG_UID:
		o->has_user = true;
		return get_id(f->text, &o->uid);
	case TAG_GID:
		return get_id(f->text, &o->gid);
	case TAG_GROUP:
		return take_group(o, f->text);
	default:
		break;
	}
	return rc;
}

static MUST_CHECK enum rc read_fields(
    struct reader r, struct guard_order *o, char **env)
{
	unsigned seen = 0;
	struct field f;
	enum rc rc;

	while ((rc = next_field(&r, &f)) == RC_OK) {
		rc = take(o, &f, env);
		if (rc != RC_OK)
			return rc;
		if (f.tag < 32)
			seen |= BIT(f.tag);
	}
	/* A user without a group would keep ours. */
	if (((seen & BIT(TAG_UID)) != 0) != ((seen & BIT(TAG_GID)) != 0))
		return RC_PROTO;
	return rc == RC_NOTFOUND && (seen & ALL_TAGS) == ALL_TAGS ? RC_OK
	                                                          : RC_PROTO;
}

static MUST_CHECK enum rc count_env(struct reader r, size_t *count)
{
	struct field f;
	enum rc rc;

	*count = 0;
	while ((rc = next_field(&r, &f)) == RC_OK)
		*count += f.tag == TAG_ENV;
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc guard_order_decode(uint8_t *data, size_t len, struct guard_order *o)
{
	struct reader r = { data, HEAD_LEN, len };
	char **env = NULL;
	size_t count;
	enum rc rc;

	memset(o, 0, sizeof(*o));
	if (len < HEAD_LEN || memcmp(data, magic, sizeof(magic)) != 0 ||
	    (data[sizeof(magic)] != PLAIN && data[sizeof(magic)] != BOUND) ||
	    get_u32(data + MAGIC_LEN) !=
		crc32_more(0, data + HEAD_LEN, len - HEAD_LEN))
		return RC_PROTO;
	rc = count_env(r, &count);
	if (rc != RC_OK)
		return rc;
	env = calloc(count + 1, sizeof(*env));
	if (env == NULL)
		return RC_NOMEM;
	rc = read_fields(r, o, env);
	if (rc == RC_OK && (o->workdir[0] != '/' || o->name[0] == '\0' ||
			       strchr(o->name, '/') != NULL))
		rc = RC_PROTO;
	o->env = o->own_env = env;
	if (rc != RC_OK)
		guard_order_clear(o);
	return rc;
}

void guard_order_clear(struct guard_order *o)
{
	free(o->own_env);
	memset(o, 0, sizeof(*o));
}
