#include "tentacle/guardian/record.h"

#include "proto/crc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CRC_TEXT " crc=" /* then eight digits, and it is the end */
#define CRC_LEN  (sizeof(CRC_TEXT) - 1 + 8)

static const char *const slot_names[GUARD_SLOTS] = {
	[GUARD_HEADER] = "longarm-record",
	[GUARD_SUPERVISOR] = "supervisor",
	[GUARD_SHIM] = "shim",
	[GUARD_EXEC] = "exec",
	[GUARD_NOEXEC] = "noexec",
	[GUARD_STOP] = "stop",
	[GUARD_OUTPUT] = "output",
	[GUARD_EXIT] = "exit",
	[GUARD_TREE_1] = "tree",
	[GUARD_TREE_2] = "tree",
	[GUARD_TREE_3] = "tree",
};

static const char *const step_names[STEP_COUNT] = {
	[STEP_NONE] = "none",
	[STEP_SETUP] = "setup",
	[STEP_WORKDIR] = "workdir",
	[STEP_MARK] = "mark",
	[STEP_EXEC] = "exec",
	[STEP_STOPPED] = "stopped",
	[STEP_LIMITS] = "limits",
	[STEP_USER] = "user",
};

static const char *const why_names[WHY_COUNT] = {
	[WHY_NONE] = "none",
	[WHY_CANCELLED] = "cancelled",
	[WHY_TIMED_OUT] = "timed-out",
	[WHY_MEMORY] = "memory",
};

static const char *const how_names[HOW_COUNT] = {
	[HOW_NONE] = "none",
	[HOW_EXITED] = "exited",
	[HOW_KILLED] = "killed",
	[HOW_NOEXEC] = "noexec",
};

static const char *const by_names[BY_COUNT] = {
	[BY_NONE] = "none",
	[BY_SHIM] = "shim",
	[BY_SUPERVISOR] = "supervisor",
};

const char *guard_step_name(enum guard_step step)
{
	return step < STEP_COUNT ? step_names[step] : "none";
}

size_t guard_slot_offset(enum guard_slot slot)
{
	/* Eight small ones make half of the block. */
	if (slot >= GUARD_TREE_1)
		return GUARD_RECORD_SIZE / 2 +
		       (size_t)(slot - GUARD_TREE_1) * GUARD_TREE_SIZE;
	return (size_t)slot * GUARD_SLOT_SIZE;
}

size_t guard_slot_size(enum guard_slot slot)
{
	return slot >= GUARD_TREE_1 ? GUARD_TREE_SIZE : GUARD_SLOT_SIZE;
}

/* --- Writing ------------------------------------------------------------ */

struct line {
	char text[GUARD_TREE_SIZE];
	size_t len, max;
	bool full;
};

static void add(struct line *l, const char *format, ...) PRINTF_LIKE(2, 3);

static void add(struct line *l, const char *format, ...)
{
	va_list args;
	int n;

	if (l->full)
		return;
	va_start(args, format);
	n = vsnprintf(l->text + l->len, l->max - l->len, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= l->max - l->len)
		l->full = true;
	else
		l->len += (size_t)n;
}

static void add_who(struct line *l, const struct guard_who *who)
{
	add(l, " pid=%d start=%llu boot=%s", (int)who->pid,
	    (unsigned long long)who->start, who->boot);
}

static void add_exit(struct line *l, const struct guard_exit *e)
{
	add(l, " how=%s by=%s code=%d signal=%u step=%s error=%d why=%s",
	    how_names[e->how], by_names[e->by], (int)e->code,
	    (unsigned)e->signal, step_names[e->step], (int)e->error,
	    why_names[e->why]);
	add(l, " forced=%d oom=%llu output=%llu at=%llu refused=%llu",
	    e->forced ? 1 : 0, (unsigned long long)e->oom,
	    (unsigned long long)e->output, (unsigned long long)e->at_ms,
	    (unsigned long long)e->refused);
}

static void add_path(struct line *l, const char *path)
{
	for (const char *c = path; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ')
			l->full = true;
	}
	add(l, " path=%s", path);
}

static void add_fields(
    struct line *l, const struct guard_record *r, enum guard_slot slot)
{
	switch (slot) {
	case GUARD_HEADER:
		add(l, " attempt=%u until=%llu boot=%s",
		    (unsigned)r->header.attempt,
		    (unsigned long long)r->header.until_ms, r->header.boot);
		break;
	case GUARD_SUPERVISOR:
		add_who(l, &r->supervisor);
		break;
	case GUARD_SHIM:
		add_who(l, &r->shim);
		break;
	case GUARD_EXEC:
		add_who(l, &r->exec);
		break;
	case GUARD_NOEXEC:
		add(l, " step=%s error=%d", step_names[r->noexec.step],
		    (int)r->noexec.error);
		break;
	case GUARD_STOP:
		add(l, " why=%s forced=%d", why_names[r->stop.why],
		    r->stop.forced ? 1 : 0);
		break;
	case GUARD_OUTPUT:
		add(l, " dropped=%llu", (unsigned long long)r->dropped);
		break;
	case GUARD_EXIT:
		add_exit(l, &r->exit);
		break;
	case GUARD_TREE_1:
	case GUARD_TREE_2:
	case GUARD_TREE_3:
		add_path(l, r->tree[slot - GUARD_TREE_1]);
		break;
	case GUARD_SLOTS:
		break;
	}
}

static void blank(uint8_t *out, size_t size)
{
	memset(out, ' ', size - 1);
	out[size - 1] = '\n';
}

enum rc guard_slot_encode(
    const struct guard_record *r, enum guard_slot slot, uint8_t *out)
{
	size_t size = guard_slot_size(slot);
	struct line l = { .max = size - CRC_LEN - 1 };

	add(&l, "%s version=%d", slot_names[slot], GUARD_VERSION);
	add_fields(&l, r, slot);
	if (l.full)
		return RC_LIMIT;
	l.max = size - 1;
	add(&l, CRC_TEXT "%08x",
	    (unsigned)crc32_more(0, (const uint8_t *)l.text, l.len));
	blank(out, size);
	memcpy(out, l.text, l.len);
	return RC_OK;
}

void guard_record_encode(
    const struct guard_record *r, uint8_t out[GUARD_RECORD_SIZE])
{
	for (int slot = 0; slot < GUARD_SLOTS; slot++)
		blank(out + guard_slot_offset((enum guard_slot)slot),
		    guard_slot_size((enum guard_slot)slot));
	/* Numbers and a boot id always fit. */
	if (guard_slot_encode(r, GUARD_HEADER, out) != RC_OK)
		blank(out, GUARD_SLOT_SIZE);
}

/* --- Reading ------------------------------------------------------------ */

/* The value of key in a line, up to the next blank; false: it is not there. */
static bool find(const char *line, const char *key, const char **value)
{
	size_t len = strlen(key);

	for (const char *at = strchr(line, ' '); at != NULL;
	     at = strchr(at + 1, ' ')) {
		if (strncmp(at + 1, key, len) == 0 && at[1 + len] == '=') {
			*value = at + len + 2;
			return true;
		}
	}
	return false;
}

struct fields {
	const char *line;
	bool bad;
};

static uint64_t number(struct fields *f, const char *key, uint64_t max)
{
	const char *p;
	uint64_t n = 0;

	if (!find(f->line, key, &p) || *p < '0' || *p > '9') {
		f->bad = true;
		return 0;
	}
	for (; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (digit > max || n > (max - digit) / 10) {
			f->bad = true;
			return 0;
		}
		n = n * 10 + digit;
	}
	f->bad |= *p != ' ' && *p != '\0';
	return n;
}

static unsigned word(
    struct fields *f, const char *key, const char *const *names, unsigned count)
{
	const char *p;

	if (find(f->line, key, &p)) {
		size_t len = strcspn(p, " ");

		for (unsigned i = 0; i < count; i++) {
			if (strlen(names[i]) == len &&
			    memcmp(names[i], p, len) == 0)
				return i;
		}
	}
	f->bad = true;
	return 0;
}

static void boot_id(struct fields *f, char out[GUARD_BOOT_SIZE])
{
	const char *p;
	size_t len = 0;

	if (find(f->line, "boot", &p))
		len = strcspn(p, " ");
	if (len != GUARD_BOOT_SIZE - 1) {
		f->bad = true;
		len = 0;
	} else {
		memcpy(out, p, len);
	}
	out[len] = '\0';
}

static void read_who(struct fields *f, struct guard_who *who)
{
	who->pid = (int32_t)number(f, "pid", INT32_MAX);
	who->start = number(f, "start", UINT64_MAX);
	boot_id(f, who->boot);
	/* 0 and 1 are nobody's that we would ever signal. */
	f->bad |= who->pid < 2;
}

static void read_exit(struct fields *f, struct guard_exit *e)
{
	const char *ignored;

	e->how = (enum guard_how)word(f, "how", how_names, HOW_COUNT);
	e->by = (enum guard_by)word(f, "by", by_names, BY_COUNT);
	e->code = (int32_t)number(f, "code", 255);
	e->signal = (uint32_t)number(f, "signal", 128);
	e->step = (enum guard_step)word(f, "step", step_names, STEP_COUNT);
	e->error = (int32_t)number(f, "error", INT32_MAX);
	e->why = (enum guard_why)word(f, "why", why_names, WHY_COUNT);
	e->forced = number(f, "forced", 1) == 1;
	e->oom = number(f, "oom", UINT64_MAX);
	e->output = number(f, "output", UINT64_MAX);
	e->at_ms = number(f, "at", UINT64_MAX);
	/* Not there in what earlier versions wrote. */
	if (find(f->line, "refused", &ignored))
		e->refused = number(f, "refused", UINT64_MAX);
	f->bad |= e->how == HOW_NONE;
}

/* The last of its line: it may hold blanks. */
static void read_path(struct fields *f, char out[GUARD_TREE_SIZE])
{
	const char *p = "";

	f->bad |= !find(f->line, "path", &p) || p[0] != '/';
	(void)snprintf(out, GUARD_TREE_SIZE, "%s", f->bad ? "" : p);
}

static void read_fields(
    struct fields *f, struct guard_record *r, enum guard_slot slot)
{
	switch (slot) {
	case GUARD_HEADER:
		r->header.attempt = (uint32_t)number(f, "attempt", UINT32_MAX);
		r->header.until_ms = number(f, "until", UINT64_MAX);
		boot_id(f, r->header.boot);
		break;
	case GUARD_SUPERVISOR:
		read_who(f, &r->supervisor);
		break;
	case GUARD_SHIM:
		read_who(f, &r->shim);
		break;
	case GUARD_EXEC:
		read_who(f, &r->exec);
		break;
	case GUARD_NOEXEC:
		r->noexec.step =
		    (enum guard_step)word(f, "step", step_names, STEP_COUNT);
		r->noexec.error = (int32_t)number(f, "error", INT32_MAX);
		break;
	case GUARD_STOP:
		r->stop.why =
		    (enum guard_why)word(f, "why", why_names, WHY_COUNT);
		r->stop.forced = number(f, "forced", 1) == 1;
		f->bad |= r->stop.why == WHY_NONE;
		break;
	case GUARD_OUTPUT:
		r->dropped = number(f, "dropped", UINT64_MAX);
		break;
	case GUARD_EXIT:
		read_exit(f, &r->exit);
		break;
	case GUARD_TREE_1:
	case GUARD_TREE_2:
	case GUARD_TREE_3:
		read_path(f, r->tree[slot - GUARD_TREE_1]);
		break;
	case GUARD_SLOTS:
		break;
	}
}

/* The line without blanks behind it, if its checksum is right. */
static bool take_line(struct bytes in, char out[GUARD_TREE_SIZE])
{
	char crc[CRC_LEN + 1];
	size_t len = in.len - 1;

	while (len > 0 && in.p[len - 1] == ' ')
		len--;
	if (len < CRC_LEN || memchr(in.p, '\0', len) != NULL)
		return false;
	len -= CRC_LEN;
	(void)snprintf(crc, sizeof(crc), CRC_TEXT "%08x",
	    (unsigned)crc32_more(0, in.p, len));
	if (memcmp(in.p + len, crc, CRC_LEN) != 0)
		return false;
	memcpy(out, in.p, len);
	out[len] = '\0';
	return true;
}

static bool is_blank(struct bytes in)
{
	for (size_t i = 0; i + 1 < in.len; i++) {
		if (in.p[i] != ' ')
			return false;
	}
	return in.p[in.len - 1] == '\n';
}

void guard_slot_decode(
    struct guard_record *r, enum guard_slot slot, struct bytes in)
{
	char line[GUARD_TREE_SIZE];
	struct fields f = { .line = line };
	size_t name = strlen(slot_names[slot]);

	r->state[slot] = SLOT_DAMAGED;
	if (in.len != guard_slot_size(slot))
		return;
	if (is_blank(in)) {
		r->state[slot] = SLOT_BLANK;
		return;
	}
	if (!take_line(in, line) ||
	    strncmp(line, slot_names[slot], name) != 0 || line[name] != ' ')
		return;
	/* Whoever changes the meaning of a key counts this up. */
	f.bad = number(&f, "version", UINT32_MAX) != GUARD_VERSION;
	if (!f.bad)
		read_fields(&f, r, slot);
	if (!f.bad)
		r->state[slot] = SLOT_VALID;
}

enum rc guard_record_decode(struct bytes in, struct guard_record *r)
{
	memset(r, 0, sizeof(*r));
	if (in.len != GUARD_RECORD_SIZE)
		return RC_PROTO;
	for (int i = 0; i < GUARD_SLOTS; i++) {
		enum guard_slot slot = (enum guard_slot)i;

		guard_slot_decode(r, slot,
		    bytes_of(
			in.p + guard_slot_offset(slot), guard_slot_size(slot)));
	}
	return r->state[GUARD_HEADER] == SLOT_VALID ? RC_OK : RC_PROTO;
}
