/*
 * tls_pair.h - two ends of a session that talk through memory, and a cluster
 * for them.
 */
#ifndef TEST_SUPPORT_TLS_PAIR_H
#define TEST_SUPPORT_TLS_PAIR_H

#include "common/tls.h"
#include "test/support/pki.h"

#include <stdio.h>

#define RELAY_A "dc2-a"

/* A cluster with one of each, and a joiner that knows only the root's hash. */
struct world {
	struct pki pki;
	struct trust *pinned;
	struct tls_contexts *node, *relay, *tentacle, *joiner;
};

static inline struct tls_contexts *contexts_of(
    struct identity *id, struct trust *t)
{
	struct tls_contexts *contexts = NULL;
	struct fault fault = { 0 };

	if (tls_contexts_new(id, t, &contexts, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	identity_free(id);
	return contexts;
}

static inline int set_up(void **state)
{
	static struct world w;
	uint8_t hash[KEY_HASH_SIZE];

	pki_init(&w.pki, CLUSTER);
	assert_int_equal(
	    certs_key_hash(ca_chain(w.pki.root)->cert[0], hash), RC_OK);
	assert_int_equal(trust_new_pinned(CLUSTER, hash, &w.pinned), RC_OK);
	w.node = contexts_of(
	    pki_identity(&w.pki, ROLE_SERVER, "node-a"), w.pki.trust);
	w.relay =
	    contexts_of(pki_identity(&w.pki, ROLE_RELAY, RELAY_A), w.pki.trust);
	w.tentacle = contexts_of(
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), w.pki.trust);
	w.joiner = contexts_of(NULL, w.pinned);
	*state = &w;
	return 0;
}

static inline int tear_down(void **state)
{
	struct world *w = *state;

	tls_contexts_unref(w->node);
	tls_contexts_unref(w->relay);
	tls_contexts_unref(w->tentacle);
	tls_contexts_unref(w->joiner);
	trust_unref(w->pinned);
	pki_fini(&w->pki);
	return 0;
}

/* One end, and what it has said but the other has not heard. */
struct end {
	struct tls *t;
	uint8_t sent[256 * 1024];
	struct tls_out out;
	enum rc rc; /* of its handshake */
};

struct pair {
	struct end a, b; /* a dials */
};

static inline void end_init(struct end *e, struct tls_contexts *contexts,
    enum tls_kind kind, const struct tls_expect *expect)
{
	memset(e, 0, sizeof(*e));
	e->out = (struct tls_out){ .p = e->sent, .cap = sizeof(e->sent) };
	assert_int_equal(tls_new(contexts, kind, expect, &e->t), RC_OK);
	e->rc = RC_AGAIN;
}

static inline struct pair *pair_new(struct tls_contexts *a,
    enum tls_kind a_kind, struct tls_contexts *b, enum tls_kind b_kind,
    const struct tls_expect *expect)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	end_init(&p->a, a, a_kind, expect);
	end_init(&p->b, b, b_kind, NULL);
	return p;
}

static inline void pair_free(struct pair *p)
{
	tls_free(p->a.t);
	tls_free(p->b.t);
	free(p);
}

/* Let e hear up to chunk bytes of what the other said; false: all was silent.
 */
static inline bool step(struct end *e, struct end *other, size_t chunk)
{
	struct tls_in in = { .p = other->sent, .len = other->out.len };
	size_t before = e->out.len, used;

	if (in.len > chunk)
		in.len = chunk;
	used = in.len;
	if (e->rc == RC_AGAIN)
		e->rc = tls_handshake(e->t, &in, &e->out);
	used -= in.len;
	memmove(other->sent, other->sent + used, other->out.len - used);
	other->out.len -= used;
	return used > 0 || e->out.len > before;
}

static inline void shake_in(struct pair *p, size_t chunk)
{
	bool moved;

	do {
		moved = step(&p->a, &p->b, chunk);
		moved |= step(&p->b, &p->a, chunk);
	} while (moved);
}

static inline void shake(struct pair *p)
{
	shake_in(p, SIZE_MAX);
}

/* What the far end got of what e said; everything must arrive. */
static inline size_t hear(
    struct end *e, struct end *from, uint8_t *plain, size_t cap)
{
	struct tls_in in = { .p = from->sent, .len = from->out.len };
	size_t got = 0, n = 0;

	do {
		assert_int_equal(
		    tls_recv(e->t, &in, &e->out, plain + got, cap - got, &n),
		    RC_OK);
		got += n;
	} while (n > 0 && got < cap);
	memmove(from->sent, in.p, in.len);
	from->out.len = in.len;
	return got;
}

static inline struct pair *open_seal(struct world *w)
{
	struct pair *p = pair_new(
	    w->node, TLS_SEAL_CLIENT, w->tentacle, TLS_SEAL_SERVER, NULL);

	shake(p);
	assert_int_equal(p->a.rc, RC_OK);
	assert_int_equal(p->b.rc, RC_OK);
	return p;
}

static inline struct tls_contexts *relay_valid(
    struct world *w, int64_t start_s, int64_t life_s)
{
	return contexts_of(
	    pki_identity_at(&w->pki, ROLE_RELAY, "late", start_s, life_s),
	    w->pki.trust);
}

#endif
