/*
 * evil_relay run ... - longarm-relay, with a valid identity and a bad heart.
 *
 * It is the relay itself, but for the calls by which streams are opened and
 * their bytes forwarded, and for what it says of who is there.  The file that
 * EVIL names holds what it does now, in one word, read at every turn:
 *
 *     honest     what a relay should do
 *     alter      change one byte of every frame
 *     drop       leave one frame in fifty out of the logs that come up
 *     repeat     forward every frame twice
 *     reorder    forward the halves of every frame, the second first
 *     inject     add a record of its own behind every frame
 *     playback   answer a new stream with the orders of an earlier one
 *     swap       lead a stream to another machine than it was opened for
 *     no-route   say that there is no route
 *     ghost      say that everybody behind it is there
 *     slander    say that nobody is there, nor the machine that the file names
 *                behind the word
 *
 * Each deed is one line in its log.
 */
#include "common/link.h"
#include "common/log.h"

struct half;
struct bridge;

static MUST_CHECK enum rc evil_open(struct bridge *b, struct link **to,
    const struct msg_open *open, struct stream_user *user, uint32_t *stream);
static MUST_CHECK enum rc evil_send(
    struct half *half, const uint8_t *data, size_t len, size_t *taken);

#define link_open(to, open, user, stream)                                      \
	evil_open(b, &(to), (open), (user), (stream))
/* Nothing goes on unseen. */
#define link_pass(link, stream, data) false
#define link_send(link, stream, data, len, taken)                              \
	evil_send(half, (data), (len), (taken))

#include "common/bridge.c"

#undef link_open
#undef link_pass
#undef link_send

#include "proto/message_control.h"

#include <string.h>

#define TAPE_MAX ((size_t)256 * 1024)

enum deed {
	HONEST,
	ALTER,
	DROP,
	REPEAT,
	REORDER,
	INJECT,
	PLAYBACK,
	SWAP,
	NO_ROUTE,
	GHOST,
	SLANDER,
	DEED_COUNT
};

static const char *const names[DEED_COUNT] = { "honest", "alter", "drop",
	"repeat", "reorder", "inject", "playback", "swap", "no-route", "ghost",
	"slander" };

/* One thread, one relay: what it remembers. */
static struct {
	/* All that the first stream carried down. */
	const struct bridge *taped;
	uint8_t tape[TAPE_MAX];
	size_t tape_len;
	bool tape_ended;
	/* The stream that hears the tape. */
	const struct bridge *victim;
	bool played;
	unsigned frames;
} mind;

/* What to do now; about: of whom (SLANDER), may be NULL. */
static enum deed deed_now(char about[NAME_SIZE])
{
	const char *path = getenv("EVIL");
	char word[32] = "", who[NAME_SIZE] = "";
	FILE *f = path == NULL ? NULL : fopen(path, "re");

	if (f != NULL) {
		if (fscanf(f, "%31s %63s", word, who) < 2)
			who[0] = '\0';
		(void)fclose(f);
	}
	if (about != NULL)
		memcpy(about, who, sizeof(who));
	for (int d = 0; d < DEED_COUNT; d++) {
		if (strcmp(word, names[d]) == 0)
			return (enum deed)d;
	}
	return HONEST;
}

static void confess(enum deed deed)
{
	log_warn("evil", NULL, "deed %s", names[deed]);
}

/* --- Bytes ---------------------------------------------------------------- */

/* Forward for real; what does not fit is lost. */
static MUST_CHECK enum rc forward(
    struct half *half, const uint8_t *data, size_t len)
{
	struct half *other = half->other;
	size_t taken = 0;
	enum rc rc = link_send(other->link, other->stream, data, len, &taken);

	return rc == RC_OK && taken < len ? RC_NOMEM : rc;
}

/* As if it had gone on. */
static void swallow(struct half *half, size_t len)
{
	link_consumed(half->link, half->stream, len);
}

/* The second half of a frame before the first. */
static MUST_CHECK enum rc reorder(
    struct half *half, const uint8_t *data, size_t len)
{
	enum rc rc = forward(half, data + len / 2, len - len / 2);

	confess(REORDER);
	return rc == RC_OK ? forward(half, data, len / 2) : rc;
}

static MUST_CHECK enum rc play(struct half *half, size_t len)
{
	const bool is_down = half == &half->bridge->in;

	swallow(half, len);
	if (!is_down || mind.played)
		return RC_OK;
	mind.played = true;
	confess(PLAYBACK);
	return forward(half, mind.tape, mind.tape_len);
}

static MUST_CHECK enum rc harm(
    enum deed deed, struct half *half, const uint8_t *data, size_t len)
{
	static const uint8_t record[] = { 0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6,
		7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 };
	uint8_t copy[FRAME_LEN_MAX];
	enum rc rc;

	/* Of a log that comes up: more will follow and show the gap. */
	if (deed == DROP &&
	    (half == &half->bridge->in || half->bridge->class != CLASS_DEPLOY ||
		mind.frames++ % 50 != 0))
		return forward(half, data, len);
	confess(deed);
	if (deed == DROP) {
		swallow(half, len);
		return RC_OK;
	}
	memcpy(copy, data, len);
	if (deed == ALTER) {
		copy[len / 2] ^= 0x20;
		return forward(half, copy, len);
	}
	rc = forward(half, data, len);
	if (rc == RC_OK && deed == REPEAT)
		rc = forward(half, data, len);
	if (rc == RC_OK && deed == INJECT)
		rc = forward(half, record, sizeof(record));
	return rc;
}

static void tape(const struct half *half, const uint8_t *data, size_t len)
{
	if (mind.taped == NULL)
		mind.taped = half->bridge;
	if (mind.tape_ended || mind.taped != half->bridge ||
	    half != &half->bridge->in || len > TAPE_MAX - mind.tape_len)
		return;
	memcpy(mind.tape + mind.tape_len, data, len);
	mind.tape_len += len;
}

/* Streams that were opened before the deed are ended for it. */
static bool is_old(const struct half *half, enum deed deed)
{
	return half->bridge != mind.victim &&
	       (deed == PLAYBACK || deed == SWAP || deed == NO_ROUTE);
}

static enum rc evil_send(
    struct half *half, const uint8_t *data, size_t len, size_t *taken)
{
	enum deed deed = deed_now(NULL);

	*taken = len;
	if (deed == HONEST || deed == GHOST || deed == SLANDER) {
		tape(half, data, len);
		return forward(half, data, len);
	}
	if (is_old(half, deed))
		return RC_NOMEM;
	if (deed == PLAYBACK)
		return play(half, len);
	if (deed == SWAP)
		return forward(half, data, len);
	if (deed == REORDER)
		return reorder(half, data, len);
	return harm(deed, half, data, len);
}

/* --- Streams -------------------------------------------------------------- */

static struct link *another_machine(struct link *link)
{
	struct link_net *net = link_net_of(link);
	struct link *l = NULL;

	while ((l = link_next(net, l)) != NULL) {
		if (l != link && link_is_up(l) &&
		    link_peer(l)->role == ROLE_TENTACLE)
			return l;
	}
	return NULL;
}

static enum rc evil_open(struct bridge *b, struct link **to,
    const struct msg_open *open, struct stream_user *user, uint32_t *stream)
{
	enum deed deed = deed_now(NULL);
	struct msg_open bent = *open;
	struct link *other = another_machine(*to);
	struct fault fault;

	/* A new one at the place of an old one. */
	if (mind.victim == b)
		mind.victim = NULL;
	if (mind.taped == b)
		mind.tape_ended = true;
	if (deed == PLAYBACK && mind.tape_len > 0) {
		mind.victim = b;
		mind.played = false;
	}
	if (deed == SWAP && other != NULL) {
		mind.victim = b;
		memcpy(bent.to.name, link_peer(other)->id.name,
		    sizeof(bent.to.name));
		*to = other;
		confess(deed);
	}
	if (deed == NO_ROUTE) {
		confess(deed);
		fault_set(&fault, REASON_NO_ROUTE, b->all->name,
		    "there is no route, and there never was");
		link_reset(b->in.link, b->in.stream, &fault, false);
		return RC_NOTFOUND;
	}
	return link_open(*to, &bent, user, stream);
}

/* --- Presence ------------------------------------------------------------- */

enum rc __real_msg_presence_encode(
    const struct msg_presence *message, struct packbuf *out);
enum rc __wrap_msg_presence_encode(
    const struct msg_presence *message, struct packbuf *out);

enum rc __wrap_msg_presence_encode(
    const struct msg_presence *message, struct packbuf *out)
{
	char about[NAME_SIZE];
	enum deed deed = deed_now(about);
	struct msg_presence lie = *message;
	struct msg_presence_change *changes;
	enum rc rc;

	if (deed != GHOST && deed != SLANDER)
		return __real_msg_presence_encode(message, out);
	confess(deed);
	changes = calloc(message->change_count + 1, sizeof(*changes));
	if (changes == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < message->change_count; i++) {
		changes[i] = message->changes[i];
		changes[i].up = deed == GHOST;
	}
	if (deed == SLANDER && about[0] != '\0')
		(void)snprintf(changes[lie.change_count++].target,
		    sizeof(changes->target), "machine/%s", about);
	lie.changes = changes;
	rc = __real_msg_presence_encode(&lie, out);
	free(changes);
	return rc;
}
