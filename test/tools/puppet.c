/*
 * puppet HOST:PORT IDENTITY START JOURNAL NONCE - an end of a link whose words
 * are those of a test: a server or a member with a valid certificate that says
 * what it likes.
 *
 * It dials with the identity in the directory IDENTITY, as the instance
 * (START, JOURNAL, NONCE), and takes every seal that the far end opens.  Its
 * lines:
 *
 *     up                        the link is
 *     opened 1                  seal 1 is open
 *     1 83a26f70...             a message of seal 1, in hexadecimal
 *     closed 1 superseded ...   with the reason's code and text
 *     down not-permitted ...    the end of it
 *
 * and what it is told, line by line, on standard input:
 *
 *     open machine/ID|relay/NAME CLASS      seals of both sides count from 1
 *     1 83a26f70...
 */
#include "common/dial.h"
#include "common/hex.h"
#include "common/identity.h"
#include "common/seal.h"
#include "proto/lenframe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEALS_MAX 64
#define OPEN_MS   20000
#define LINE_SIZE ((size_t)1 << 20)

struct puppet;

struct string {
	struct puppet *puppet;
	struct seal *seal; /* NULL: closed */
};

struct puppet {
	struct loop *loop;
	struct worker_pool *pool;
	struct link_net *net;
	struct link *link;
	struct loop_io *input;
	struct msg_instance instance;
	struct string strings[SEALS_MAX]; /* seal n is at n - 1 */
	unsigned count;
	char *line; /* LINE_SIZE */
	size_t line_len;
};

static int complain(const char *what, const char *why)
{
	(void)fprintf(stderr, "puppet: %s: %s\n", what, why);
	return 1;
}

static void say_fault(const char *what, const struct fault *fault)
{
	(void)printf("%s %s %s\n", what, reason_name(fault->code), fault->text);
	(void)fflush(stdout);
}

/* --- Seals ---------------------------------------------------------------- */

static void on_seal(
    void *arg, struct seal *seal, const struct seal_event *event)
{
	struct string *s = arg;
	unsigned n = (unsigned)(s - s->puppet->strings) + 1;
	char what[32];

	(void)seal;
	(void)snprintf(what, sizeof(what), "closed %u", n);
	switch (event->type) {
	case SEAL_OPEN:
		(void)printf("opened %u\n", n);
		break;
	case SEAL_MESSAGE:
		(void)printf("%u ", n);
		for (size_t i = 0; i < event->message.len; i++)
			(void)printf("%02x", event->message.p[i]);
		(void)printf("\n");
		break;
	case SEAL_WRITABLE:
		break;
	case SEAL_CLOSED:
		s->seal = NULL;
		say_fault(what, event->fault);
		break;
	}
	(void)fflush(stdout);
}

static struct string *next_string(struct puppet *p, struct seal_user *user)
{
	struct string *s =
	    p->count < SEALS_MAX ? &p->strings[p->count++] : NULL;

	if (s != NULL)
		s->puppet = p;
	*user = (struct seal_user){ .fn = on_seal,
		.arg = s,
		.message_max = LENFRAME_CONTROL_MAX,
		.open_ms = OPEN_MS };
	return s;
}

static void take_seal(
    struct puppet *p, uint32_t stream, const struct msg_open *open)
{
	struct seal_user user;
	struct string *s = next_string(p, &user);

	if (s == NULL || seal_accept(p->link, stream, open->service_class,
			     TLS_SEAL_SERVER, &user, &s->seal) != RC_OK)
		(void)complain("a seal", "cannot be taken");
}

static bool is_class(const char *name, enum stream_class *out)
{
	for (unsigned i = 0; i < CLASS_COUNT; i++) {
		if (strcmp(class_name((enum stream_class)i), name) == 0) {
			*out = (enum stream_class)i;
			return true;
		}
	}
	return false;
}

static void open_seal(struct puppet *p, const char *to, const char *class)
{
	struct msg_open open = { .kind = KIND_SEAL, .deadline_ms = OPEN_MS };
	struct seal_far far = { .kind = TLS_SEAL_CLIENT };
	struct seal_user user;
	struct string *s = next_string(p, &user);
	struct fault fault;

	if (s == NULL || target_parse(to, &open.to, &fault) != RC_OK ||
	    !is_class(class, &open.service_class)) {
		(void)complain(to, "is no target, or has no such class");
		return;
	}
	far.expect.roles = open.to.kind == TARGET_RELAY
	                       ? TRUST_ROLE(ROLE_RELAY)
	                       : TRUST_ROLE(ROLE_TENTACLE);
	far.expect.name = open.to.name;
	if (p->link == NULL ||
	    seal_dial(p->link, &open, &far, &user, &s->seal) != RC_OK)
		(void)complain(to, "no seal to it");
}

/* --- What it is told ------------------------------------------------------ */

static void send_message(struct puppet *p, unsigned n, const char *text)
{
	size_t len = strlen(text) / 2;
	uint8_t *bytes = malloc(len + 1);

	if (bytes == NULL || n < 1 || n > p->count ||
	    p->strings[n - 1].seal == NULL ||
	    hex_decode(text, bytes, len) != RC_OK ||
	    seal_send(p->strings[n - 1].seal, bytes_of(bytes, len)) != RC_OK)
		(void)complain("a message", "not sent");
	free(bytes);
}

static void obey(struct puppet *p, char *line)
{
	char to[TARGET_SIZE], class[16];
	char *rest = strchr(line, ' ');

	if (sscanf(line, "open %71s %15s", to, class) == 2)
		open_seal(p, to, class);
	else if (rest != NULL)
		send_message(p, (unsigned)strtoul(line, NULL, 10), rest + 1);
	else
		(void)complain("not understood", line);
}

static void on_input(void *arg, unsigned ready)
{
	struct puppet *p = arg;
	ssize_t got = read(
	    STDIN_FILENO, p->line + p->line_len, LINE_SIZE - 1 - p->line_len);
	char *end;

	(void)ready;
	if (got <= 0) {
		loop_stop(p->loop);
		return;
	}
	p->line_len += (size_t)got;
	p->line[p->line_len] = '\0';
	while ((end = strchr(p->line, '\n')) != NULL) {
		*end = '\0';
		obey(p, p->line);
		p->line_len -= (size_t)(end + 1 - p->line);
		memmove(p->line, end + 1, p->line_len + 1);
	}
}

/* --- The link ------------------------------------------------------------- */

static void fill_hello(
    void *owner, const struct peer *peer, struct msg_hello *hello)
{
	const struct puppet *p = owner;

	(void)peer;
	hello->has_instance = true;
	hello->instance = p->instance;
}

static enum rc admit(void *owner, struct link *link,
    const struct msg_hello *hello, struct fault *fault)
{
	(void)owner;
	(void)link;
	(void)hello;
	(void)fault;
	return RC_OK;
}

static void on_link(
    void *owner, struct link *link, const struct link_event *event)
{
	struct puppet *p = owner;

	if (event->type == LINK_UP) {
		p->link = link;
		(void)printf("up\n");
		(void)fflush(stdout);
	} else if (event->type == LINK_OPENED) {
		take_seal(p, event->stream, event->open);
	} else if (event->type == LINK_DOWN) {
		p->link = NULL;
		say_fault("down", event->fault);
		loop_stop(p->loop);
	}
}

static const struct link_ops ops = {
	.hello = fill_hello,
	.admit = admit,
	.event = on_link,
};

static MUST_CHECK enum rc play(
    struct puppet *p, const char *at, struct fault *fault)
{
	struct endpoint to;
	const struct dial_spec spec = {
		.label = "the other end",
		.expect = { .roles = TRUST_ANY_ROLE },
		.endpoints = &to,
		.count = 1,
	};
	struct dialler *d = NULL;
	enum rc rc = endpoint_parse(at, 0, &to, fault);

	if (rc == RC_OK)
		rc = loop_io_new(p->loop, STDIN_FILENO, on_input, p, &p->input);
	if (rc == RC_OK)
		rc = dial_new(p->net, &spec, &d);
	if (rc == RC_OK) {
		loop_io_want(p->input, LOOP_READ);
		loop_run(p->loop);
	}
	fault_clear(fault);
	dial_free(d, fault);
	loop_io_free(p->input);
	return rc;
}

static MUST_CHECK enum rc run(
    struct puppet *p, const char *at, const char *dir, struct fault *fault)
{
	struct identity *id = NULL;
	struct trust *trust = NULL;
	struct tls_contexts *contexts = NULL;
	struct link_config config;
	enum rc rc = identity_load(dir, &id, fault);

	link_config_default(&config);
	if (rc == RC_OK)
		rc = trust_new(
		    identity_spiffe(id)->cluster, identity_roots(id), &trust);
	if (rc == RC_OK)
		rc = tls_contexts_new(id, trust, &contexts, fault);
	if (rc == RC_OK)
		rc = loop_new(&p->loop);
	if (rc == RC_OK)
		rc = worker_pool_new(p->loop, 1, 64, &p->pool);
	if (rc == RC_OK)
		rc = link_net_new(p->loop, p->pool, &config, &ops, p, &p->net);
	if (rc == RC_OK) {
		link_net_set_contexts(p->net, contexts);
		link_net_set_name(p->net, "puppet");
		rc = play(p, at, fault);
		link_net_free(p->net);
	}
	worker_pool_free(p->pool);
	loop_free(p->loop);
	tls_contexts_unref(contexts);
	trust_unref(trust);
	identity_free(id);
	return rc;
}

int main(int argc, char **argv)
{
	struct puppet p = { .count = 0 };
	struct fault fault = { .text = "out of memory" };
	enum rc rc;

	if (argc != 6 || !id_is_valid(argv[4]) || !id_is_valid(argv[5]))
		return complain(
		    "usage", "HOST:PORT IDENTITY START JOURNAL NONCE");
	p.instance.start = strtoull(argv[3], NULL, 10);
	memcpy(p.instance.journal, argv[4], sizeof(p.instance.journal));
	memcpy(p.instance.nonce, argv[5], sizeof(p.instance.nonce));
	p.line = malloc(LINE_SIZE);
	rc = p.line == NULL ? RC_NOMEM : run(&p, argv[1], argv[2], &fault);
	free(p.line);
	return rc == RC_OK ? 0 : complain(argv[1], fault.text);
}
