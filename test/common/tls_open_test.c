/* An open session against a peer that may say anything, and against OpenSSL. */
#include "test/support/rogue.h"

#include "common/tls_internal.h"

#define WIRE_MAX     (64 * 1024)
#define KEY_UPDATE   24
#define TYPE_NONE    0
#define TYPE_STRANGE 99

struct world {
	struct pki pki;
	struct tls_contexts *node, *tentacle;
};

/* Our end, and what its peer's keys can write. */
struct talk {
	struct tls *t, *peer;
	struct tls_keys keys; /* of what we read */
	uint8_t wire[WIRE_MAX], sent[WIRE_MAX], plain[WIRE_MAX];
	size_t wire_len, got;
	struct tls_out out;
	enum rc rc;
};

static struct tls_contexts *contexts_of(struct identity *id, struct trust *t)
{
	struct tls_contexts *contexts = NULL;
	struct fault fault = { 0 };

	assert_int_equal(tls_contexts_new(id, t, &contexts, &fault), RC_OK);
	identity_free(id);
	return contexts;
}

static int set_up(void **state)
{
	static struct world w;

	pki_init(&w.pki, CLUSTER);
	w.node = contexts_of(
	    pki_identity(&w.pki, ROLE_SERVER, "node-a"), w.pki.trust);
	w.tentacle = contexts_of(
	    pki_identity(&w.pki, ROLE_TENTACLE, MACHINE), w.pki.trust);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	tls_contexts_unref(w->node);
	tls_contexts_unref(w->tentacle);
	pki_fini(&w->pki);
	return 0;
}

/* Both shake hands; the peer's end is only there for its keys. */
static struct talk *talk_new(struct world *w)
{
	struct talk *k = calloc(1, sizeof(*k));
	struct tls_out peer_out;
	enum rc peer_rc = RC_AGAIN;

	assert_non_null(k);
	k->out = (struct tls_out){ .p = k->sent, .cap = sizeof(k->sent) };
	peer_out = (struct tls_out){ .p = k->wire, .cap = sizeof(k->wire) };
	assert_int_equal(tls_new(w->node, TLS_SEAL_CLIENT, NULL, &k->t), RC_OK);
	assert_int_equal(
	    tls_new(w->tentacle, TLS_SEAL_SERVER, NULL, &k->peer), RC_OK);
	k->rc = RC_AGAIN;
	for (int i = 0; i < 5 && peer_rc == RC_AGAIN; i++) {
		struct tls_in in = { .p = k->wire, .len = peer_out.len };

		k->rc = tls_handshake(k->t, &in, &k->out);
		peer_out.len = 0;
		in = (struct tls_in){ .p = k->sent, .len = k->out.len };
		peer_rc = tls_handshake(k->peer, &in, &peer_out);
		k->out.len = 0;
	}
	assert_int_equal(k->rc, RC_OK);
	assert_int_equal(peer_rc, RC_OK);
	memcpy(k->keys.secret, k->t->read.secret, TLS_SECRET_SIZE);
	assert_int_equal(tls_keys_begin(&k->keys, k->t->read.suite), RC_OK);
	return k;
}

static void talk_free(struct talk *k)
{
	tls_keys_fini(&k->keys);
	tls_free(k->t);
	tls_free(k->peer);
	free(k);
}

/* A record of this type; behind it pad zeros, which are content of its own to
 * tls_keys_seal(). */
static void say(
    struct talk *k, unsigned type, const void *data, size_t len, size_t pad)
{
	static uint8_t content[TLS_PAYLOAD_MAX];
	uint8_t *at = k->wire + k->wire_len;

	if (len > 0)
		memcpy(content, data, len);
	if (pad == 0) {
		assert_int_equal(tls_keys_seal(&k->keys, (enum tls_content)type,
				     content, len, at),
		    RC_OK);
		k->wire_len += len + TLS_RECORD_EXTRA;
		return;
	}
	content[len] = (uint8_t)type;
	memset(content + len + 1, 0, pad - 1);
	assert_int_equal(tls_keys_seal(&k->keys, (enum tls_content)0, content,
			     len + pad, at),
	    RC_OK);
	k->wire_len += len + pad + TLS_RECORD_EXTRA;
}

/* All that was said, at most chunk bytes at a time, to little rooms. */
static void hear(struct talk *k, size_t chunk, size_t room)
{
	size_t at = 0, n = 0;

	k->rc = RC_OK;
	while (at < k->wire_len && k->rc == RC_OK) {
		struct tls_in in = { .p = k->wire + at,
			.len = k->wire_len - at };

		if (in.len > chunk)
			in.len = chunk;
		do {
			k->rc = tls_recv(
			    k->t, &in, &k->out, k->plain + k->got, room, &n);
			k->got += n;
		} while (k->rc == RC_OK && n > 0);
		if (k->rc == RC_OK && tls_state(k->t) == TLS_OPEN)
			assert_int_equal(in.len, 0);
		at = (size_t)(in.p - k->wire);
		if (tls_state(k->t) != TLS_OPEN)
			break;
	}
	k->wire_len = 0;
}

static void expect_refusal(struct talk *k, const char *words, int alert)
{
	struct tls_keys theirs = { 0 };
	uint8_t plain[3];

	hear(k, SIZE_MAX, WIRE_MAX / 2);
	assert_int_equal(k->rc, RC_DENIED);
	assert_int_equal(tls_state(k->t), TLS_FAILED);
	assert_int_equal(tls_fault(k->t)->code, REASON_TLS);
	if (strstr(tls_fault(k->t)->text, words) == NULL)
		fail_msg("%s", tls_fault(k->t)->text);
	assert_int_equal(k->got, 0);
	/* And the peer is told. */
	assert_true(k->out.len >= 2 + TLS_RECORD_EXTRA);
	memcpy(theirs.secret, k->t->write.secret, TLS_SECRET_SIZE);
	assert_int_equal(tls_keys_begin(&theirs, k->t->write.suite), RC_OK);
	assert_int_equal(
	    tls_keys_open(&theirs, k->sent, 2 + 1 + TLS_TAG_SIZE, plain),
	    RC_OK);
	assert_int_equal(plain[0], 2);
	assert_int_equal(plain[1], alert);
	assert_int_equal(plain[2], TLS_CONTENT_ALERT);
	tls_keys_fini(&theirs);
	talk_free(k);
}

static void test_padding_is_thrown_away(void **state)
{
	struct talk *k = talk_new(*state);

	say(k, TLS_CONTENT_DATA, "abc", 3, 1);
	say(k, TLS_CONTENT_DATA, "def", 3, 1000);
	say(k, TLS_CONTENT_DATA, "", 0, 5);
	say(k, TLS_CONTENT_DATA, "ghi", 3, 0);
	hear(k, SIZE_MAX, 8000);
	assert_int_equal(k->rc, RC_OK);
	assert_int_equal(k->got, 9);
	assert_memory_equal(k->plain, "abcdefghi", 9);
	talk_free(k);
}

/* Whatever comes together, and however little room there is. */
static void test_records_cut_anywhere_come_out_whole(void **state)
{
	static const size_t rooms[] = { 1, 7, 8000 };
	static uint8_t data[8000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 >> 2);
	for (size_t r = 0; r < sizeof(rooms) / sizeof(rooms[0]); r++)
		for (size_t chunk = 1; chunk < 9000; chunk = chunk * 3 + 1) {
			struct talk *k = talk_new(*state);

			say(k, TLS_CONTENT_DATA, data, 11, 0);
			say(k, TLS_CONTENT_DATA, data + 11, 6000, 0);
			say(k, TLS_CONTENT_DATA, data + 6011, 1989, 3);
			hear(k, chunk, rooms[r]);
			assert_int_equal(k->rc, RC_OK);
			assert_int_equal(k->got, sizeof(data));
			assert_memory_equal(k->plain, data, sizeof(data));
			tls_rest(k->t);
			assert_null(k->t->held.p);
			assert_null(k->t->read.cipher);
			talk_free(k);
		}
}

static void test_bad_records_are_refused_and_the_peer_is_told(void **state)
{
	static const uint8_t plain_alert[] = { 21, 3, 3, 0, 2, 2, 40 },
			     too_long[] = { 23, 3, 3, 0x41, 1 },
			     too_short[] = { 23, 3, 3, 0, 16 };
	static const struct {
		const uint8_t *p;
		size_t len;
		const char *words;
		int alert;
	} bad[] = {
		{ plain_alert, sizeof(plain_alert), "not encrypted",
		    SSL_AD_UNEXPECTED_MESSAGE },
		{ too_long, sizeof(too_long), "too long",
		    SSL_AD_RECORD_OVERFLOW },
		{ too_short, sizeof(too_short), "too short",
		    SSL_AD_DECODE_ERROR },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct talk *k = talk_new(*state);

		memcpy(k->wire, bad[i].p, bad[i].len);
		k->wire_len = bad[i].len;
		expect_refusal(k, bad[i].words, bad[i].alert);
	}
}

static void test_bad_contents_are_refused_and_the_peer_is_told(void **state)
{
	static const uint8_t ticket[] = { 4, 0, 0, 1, 0 },
			     update[] = { KEY_UPDATE, 0, 0, 1, 0 },
			     two[] = { KEY_UPDATE, 0, 0, 1, 0, KEY_UPDATE },
			     odd[] = { KEY_UPDATE, 0, 0, 1, 2 },
			     alert[] = { 2, 40, 0 };
	static const struct {
		const uint8_t *p;
		size_t len, pad;
		const char *words;
		unsigned type;
		int alert;
	} bad[] = {
		{ ticket, 5, 0, "unexpected message", TLS_CONTENT_HANDSHAKE,
		    SSL_AD_UNEXPECTED_MESSAGE },
		{ update, 4, 0, "unexpected message", TLS_CONTENT_HANDSHAKE,
		    SSL_AD_UNEXPECTED_MESSAGE },
		{ two, 6, 0, "unexpected message", TLS_CONTENT_HANDSHAKE,
		    SSL_AD_UNEXPECTED_MESSAGE },
		{ odd, 5, 0, "of another kind", TLS_CONTENT_HANDSHAKE,
		    SSL_AD_ILLEGAL_PARAMETER },
		{ alert, 3, 0, "of another length", TLS_CONTENT_ALERT,
		    SSL_AD_DECODE_ERROR },
		{ alert, 2, 0, "of an unknown type", TYPE_STRANGE,
		    SSL_AD_UNEXPECTED_MESSAGE },
		{ alert, 0, 9, "without a type", TYPE_NONE,
		    SSL_AD_UNEXPECTED_MESSAGE },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct talk *k = talk_new(*state);

		say(k, bad[i].type, bad[i].p, bad[i].len, bad[i].pad);
		expect_refusal(k, bad[i].words, bad[i].alert);
	}
}

static void test_more_than_a_record_may_hold_is_refused(void **state)
{
	static const uint8_t much[TLS_CONTENT_MAX + 1];
	struct talk *k = talk_new(*state);

	say(k, TLS_CONTENT_DATA, much, TLS_CONTENT_MAX, 0);
	hear(k, SIZE_MAX, 20000);
	assert_int_equal(k->rc, RC_OK);
	assert_int_equal(k->got, TLS_CONTENT_MAX);
	k->got = 0;
	say(k, TLS_CONTENT_DATA, much, sizeof(much), 1);
	expect_refusal(k, "too long", SSL_AD_RECORD_OVERFLOW);
}

static void test_records_without_data_cannot_go_on_for_ever(void **state)
{
	static const uint8_t update[] = { KEY_UPDATE, 0, 0, 1, 0 };
	struct talk *k = talk_new(*state);

	for (int i = 0; i < 100; i++) {
		say(k, TLS_CONTENT_DATA, "", 0, 0);
		say(k, TLS_CONTENT_DATA, "x", 1, 0);
	}
	hear(k, SIZE_MAX, 1000);
	assert_int_equal(k->rc, RC_OK);
	assert_int_equal(k->got, 100);
	k->got = 0;
	for (int i = 0; i < 33; i++)
		say(k, TLS_CONTENT_DATA, "", 0, 0);
	expect_refusal(k, "too many records", SSL_AD_UNEXPECTED_MESSAGE);
	k = talk_new(*state);
	for (int i = 0; i < 33; i++) {
		say(k, TLS_CONTENT_HANDSHAKE, update, sizeof(update), 0);
		assert_int_equal(tls_keys_update(&k->keys), RC_OK);
	}
	expect_refusal(k, "too many key updates", SSL_AD_UNEXPECTED_MESSAGE);
}

/* A peer that asks all the time and reads nothing costs nothing. */
static void test_who_asks_for_keys_is_answered_before_the_next_data(
    void **state)
{
	static const uint8_t update[] = { KEY_UPDATE, 0, 0, 1, 1 };
	struct talk *k = talk_new(*state);
	size_t taken;

	for (int i = 0; i < 100; i++) {
		say(k, TLS_CONTENT_HANDSHAKE, update, sizeof(update), 0);
		assert_int_equal(tls_keys_update(&k->keys), RC_OK);
		say(k, TLS_CONTENT_DATA, "x", 1, 0);
	}
	hear(k, SIZE_MAX, 1000);
	assert_int_equal(k->rc, RC_OK);
	assert_int_equal(k->got, 100);
	assert_int_equal(k->out.len, 0);
	for (size_t i = 0; i < 2; i++) {
		size_t update_len = i == 0 ? 5 + TLS_RECORD_EXTRA : 0;

		k->out.len = 0;
		assert_int_equal(
		    tls_send(k->t, (const uint8_t *)"x", 1, &k->out, &taken),
		    RC_OK);
		assert_int_equal(taken, 1);
		assert_int_equal(k->out.len, update_len + 1 + TLS_RECORD_EXTRA);
	}
	talk_free(k);
}

static void test_an_alert_ends_the_session_in_words(void **state)
{
	static const uint8_t revoked[] = { 2, SSL_AD_CERTIFICATE_REVOKED },
			     cancelled[] = { 1, SSL_AD_USER_CANCELLED };
	struct talk *k = talk_new(*state);

	say(k, TLS_CONTENT_ALERT, cancelled, sizeof(cancelled), 0);
	say(k, TLS_CONTENT_DATA, "x", 1, 0);
	hear(k, SIZE_MAX, 1000);
	assert_int_equal(k->rc, RC_OK);
	say(k, TLS_CONTENT_ALERT, revoked, sizeof(revoked), 0);
	hear(k, SIZE_MAX, 1000);
	assert_int_equal(k->rc, RC_DENIED);
	assert_int_equal(tls_fault(k->t)->code, REASON_REVOKED);
	assert_int_equal(k->out.len, 0);
	talk_free(k);
}

/* --- OpenSSL at the other end ----------------------------------------------
 */

static SSL *good_openssl(struct world *w, struct rogue_secrets *secrets)
{
	struct identity *id = pki_identity(&w->pki, ROLE_TENTACLE, MACHINE);
	struct rogue r = { .protocol = "longarm-seal/1",
		.key = identity_key(id),
		.chain = identity_chain(id) };
	SSL *ssl;

	secrets->protocol = r.protocol;
	ssl = rogue_new(&r, true, secrets);
	SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	identity_free(id);
	return ssl;
}

/* What either has said is heard by the other. */
static void carry(struct talk *k, SSL *ssl)
{
	int n;

	if (k->out.len > 0)
		assert_int_equal(
		    BIO_write(SSL_get_rbio(ssl), k->sent, (int)k->out.len),
		    (int)k->out.len);
	k->out.len = 0;
	n = BIO_read(SSL_get_wbio(ssl), k->wire, WIRE_MAX);
	k->wire_len = n > 0 ? (size_t)n : 0;
}

static struct talk *talk_to(struct world *w, SSL *ssl)
{
	struct talk *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	k->out = (struct tls_out){ .p = k->sent, .cap = sizeof(k->sent) };
	assert_int_equal(tls_new(w->node, TLS_SEAL_CLIENT, NULL, &k->t), RC_OK);
	for (int i = 0; i < 4; i++) {
		struct tls_in in = { .p = k->wire, .len = k->wire_len };

		k->rc = tls_handshake(k->t, &in, &k->out);
		assert_int_not_equal(k->rc, RC_DENIED);
		carry(k, ssl);
		(void)SSL_do_handshake(ssl);
		carry(k, ssl);
	}
	ERR_clear_error();
	assert_int_equal(k->rc, RC_OK);
	return k;
}

/* There and back. */
static void echo(struct talk *k, SSL *ssl)
{
	char said[6];
	size_t n = 0;

	assert_int_equal(
	    tls_send(k->t, (const uint8_t *)"hello", 5, &k->out, &n), RC_OK);
	assert_int_equal(n, 5);
	carry(k, ssl);
	assert_int_equal(SSL_read_ex(ssl, said, sizeof(said), &n), 1);
	assert_int_equal(n, 5);
	assert_memory_equal(said, "hello", 5);
	assert_int_equal(SSL_write_ex(ssl, "there", 5, &n), 1);
	carry(k, ssl);
	k->got = 0;
	hear(k, SIZE_MAX, 1000);
	assert_int_equal(k->rc, RC_OK);
	assert_int_equal(k->got, 5);
	assert_memory_equal(k->plain, "there", 5);
}

static void test_keys_change_when_the_peer_asks(void **state)
{
	struct rogue_secrets secrets = { 0 };
	SSL *ssl = good_openssl(*state, &secrets);
	struct talk *k = talk_to(*state, ssl);
	uint8_t before[TLS_SECRET_SIZE];

	echo(k, ssl);
	for (int i = 0; i < 40; i++) {
		memcpy(before, k->t->write.secret, sizeof(before));
		assert_int_equal(SSL_key_update(ssl,
				     i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED
						: SSL_KEY_UPDATE_NOT_REQUESTED),
		    1);
		echo(k, ssl); /* with the old key, and asks */
		echo(k, ssl); /* with the new one */
		if (i % 2 == 0)
			assert_memory_not_equal(
			    before, k->t->write.secret, sizeof(before));
		else
			assert_memory_equal(
			    before, k->t->write.secret, sizeof(before));
	}
	talk_free(k);
	SSL_free(ssl);
}

/* Two of our own, who both believe that so many records have gone. */
static void test_a_key_is_not_used_for_ever(void **state)
{
	struct talk *k = talk_new(*state);
	struct tls_in in = { .p = k->sent };
	uint8_t before[TLS_SECRET_SIZE];
	size_t n = 0;

	memcpy(before, k->t->write.secret, sizeof(before));
	k->t->write.records = TLS_KEY_RECORDS - 1;
	k->peer->read.records = TLS_KEY_RECORDS - 1;
	assert_int_equal(
	    tls_send(k->t, (const uint8_t *)"last", 4, &k->out, &n), RC_OK);
	assert_memory_equal(before, k->t->write.secret, sizeof(before));
	assert_int_equal(
	    tls_send(k->t, (const uint8_t *)"first", 5, &k->out, &n), RC_OK);
	assert_memory_not_equal(before, k->t->write.secret, sizeof(before));
	assert_int_equal(k->t->write.records, 1);
	in.len = k->out.len;
	k->out.len = 0;
	assert_int_equal(
	    tls_recv(k->peer, &in, &k->out, k->plain, 100, &n), RC_OK);
	assert_int_equal(n, 9);
	assert_memory_equal(k->plain, "lastfirst", 9);
	assert_int_equal(k->out.len, 0); /* no answer was asked for */
	talk_free(k);
}

static void test_openssl_understands_our_farewell_and_we_its_own(void **state)
{
	struct rogue_secrets secrets = { 0 };
	SSL *ssl = good_openssl(*state, &secrets);
	struct talk *k = talk_to(*state, ssl);
	char said[6];

	echo(k, ssl);
	tls_close(k->t, &k->out);
	carry(k, ssl);
	assert_true(SSL_read(ssl, said, sizeof(said)) <= 0);
	assert_int_equal(SSL_get_shutdown(ssl), SSL_RECEIVED_SHUTDOWN);
	(void)SSL_shutdown(ssl);
	carry(k, ssl);
	hear(k, SIZE_MAX, 1000);
	assert_int_equal(tls_state(k->t), TLS_PEER_CLOSED);
	talk_free(k);
	SSL_free(ssl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_padding_is_thrown_away),
		cmocka_unit_test(test_records_cut_anywhere_come_out_whole),
		cmocka_unit_test(
		    test_bad_records_are_refused_and_the_peer_is_told),
		cmocka_unit_test(
		    test_bad_contents_are_refused_and_the_peer_is_told),
		cmocka_unit_test(test_more_than_a_record_may_hold_is_refused),
		cmocka_unit_test(
		    test_records_without_data_cannot_go_on_for_ever),
		cmocka_unit_test(
		    test_who_asks_for_keys_is_answered_before_the_next_data),
		cmocka_unit_test(test_an_alert_ends_the_session_in_words),
		cmocka_unit_test(test_keys_change_when_the_peer_asks),
		cmocka_unit_test(test_a_key_is_not_used_for_ever),
		cmocka_unit_test(
		    test_openssl_understands_our_farewell_and_we_its_own),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
