/*
 * tls_open.c - an open session: records in and out, alerts, key updates.  What
 * RFC 8446 lets a peer say after the handshake, less what ours never say: no
 * tickets, no late request for a certificate, no message in pieces.
 */
#include "common/tls_internal.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_BYTES     8192
#define EMPTY_MAX      32 /* records without data in a row */
#define KEY_UPDATE     24 /* the message */
#define KEY_UPDATE_LEN 5
/* What is kept free for one that we may want to send first. */
#define KEY_UPDATE_ROOM ((size_t)KEY_UPDATE_LEN + TLS_RECORD_EXTRA)
#define ALERT_LEN       2
#define ALERT_WARNING   1
#define ALERT_FATAL     2

static size_t room_of(const struct tls_out *out)
{
	return out->cap - out->len;
}

/* RC_AGAIN: no room. */
static MUST_CHECK enum rc put_record(struct tls *t, enum tls_content type,
    const uint8_t *data, size_t len, struct tls_out *out)
{
	enum rc rc;

	if (room_of(out) < len + TLS_RECORD_EXTRA)
		return RC_AGAIN;
	rc = tls_keys_seal(&t->write, type, data, len, out->p + out->len);
	if (rc == RC_OK)
		out->len += len + TLS_RECORD_EXTRA;
	return rc;
}

static void put_alert(struct tls *t, int number, struct tls_out *out)
{
	const uint8_t alert[ALERT_LEN] = {
		number == SSL_AD_CLOSE_NOTIFY ? ALERT_WARNING : ALERT_FATAL,
		(uint8_t)number
	};
	/* Without room the peer only sees that the connection ends. */
	enum rc rc = put_record(t, TLS_CONTENT_ALERT, alert, ALERT_LEN, out);

	(void)rc;
}

/* The peer broke the rules: tell it, and fail. */
static MUST_CHECK enum rc refuse(
    struct tls *t, int alert, const char *what, struct tls_out *out)
{
	fault_set(&t->fault, REASON_TLS, "", "TLS failed: %s", what);
	if (!t->closing)
		put_alert(t, alert, out);
	return tls_fail(t);
}

/* Our own matter: memory, or OpenSSL. */
static MUST_CHECK enum rc give_up(struct tls *t, enum rc rc)
{
	if (rc == RC_NOMEM)
		fault_set(&t->fault, REASON_MEMORY, "", "out of memory");
	return tls_fail(t);
}

/* Change our key.  RC_AGAIN: no room. */
static MUST_CHECK enum rc update_own_key(struct tls *t, struct tls_out *out)
{
	/* The last: we do not ask for theirs. */
	static const uint8_t message[KEY_UPDATE_LEN] = { KEY_UPDATE, 0, 0, 1,
		0 };
	enum rc rc =
	    put_record(t, TLS_CONTENT_HANDSHAKE, message, KEY_UPDATE_LEN, out);

	if (rc == RC_OK)
		rc = tls_keys_update(&t->write);
	if (rc == RC_OK)
		t->owes_update = false;
	return rc;
}

/* --- What arrives --------------------------------------------------------- */

static size_t payload_len(const uint8_t head[TLS_HEADER_LEN])
{
	return (size_t)head[3] << 8 | head[4];
}

/* Is a record with this header possible?  Else *alert and *what. */
static bool head_is_good(
    const uint8_t head[TLS_HEADER_LEN], int *alert, const char **what)
{
	const size_t len = payload_len(head);

	if (head[0] != TLS_CONTENT_DATA) {
		*alert = SSL_AD_UNEXPECTED_MESSAGE;
		*what = "a record that is not encrypted";
	} else if (len > TLS_PAYLOAD_MAX) {
		*alert = SSL_AD_RECORD_OVERFLOW;
		*what = "a record that is too long";
	} else if (len < 1 + TLS_TAG_SIZE) {
		*alert = SSL_AD_DECODE_ERROR;
		*what = "a record that is too short";
	} else {
		return true;
	}
	return false;
}

static MUST_CHECK enum rc hold(struct tls *t, size_t cap)
{
	uint8_t *p;

	if (t->held.cap >= cap)
		return RC_OK;
	if (t->busy)
		cap = TLS_HEADER_LEN + TLS_PAYLOAD_MAX;
	p = OPENSSL_malloc(cap);
	if (p == NULL)
		return RC_NOMEM;
	OPENSSL_clear_free(t->held.p, t->held.cap);
	t->held.p = p;
	t->held.cap = cap;
	return RC_OK;
}

static void let_go(struct tls *t)
{
	if (t->busy || t->held.len > 0 || t->held.content > 0)
		return;
	OPENSSL_clear_free(t->held.p, t->held.cap);
	t->held.p = NULL;
	t->held.cap = 0;
}

static void take(struct tls_in *in, uint8_t *to, size_t len)
{
	memcpy(to, in->p, len);
	in->p += len;
	in->len -= len;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Of the next record; NULL: it has not all come, and all input is taken. */
static const uint8_t *next_head(struct tls_held *held, struct tls_in *in)
{
	size_t n;

	if (held->len == 0 && in->len >= TLS_HEADER_LEN)
		return in->p;
	if (held->len < TLS_HEADER_LEN && in->len > 0) {
		n = least(in->len, TLS_HEADER_LEN - held->len);
		take(in, held->head + held->len, n);
		held->len += n;
	}
	return held->len >= TLS_HEADER_LEN ? held->head : NULL;
}

/* Take what there is of a record that came in part. */
static MUST_CHECK enum rc gather(struct tls *t, struct tls_in *in, size_t whole)
{
	struct tls_held *held = &t->held;
	size_t n;

	if (hold(t, whole) != RC_OK)
		return give_up(t, RC_NOMEM);
	if (held->len == 0) {
		take(in, held->head, TLS_HEADER_LEN);
		held->len = TLS_HEADER_LEN;
	}
	n = least(in->len, whole - held->len);
	if (n > 0)
		take(in, held->p + held->len, n);
	held->len += n;
	if (held->len < whole)
		return RC_AGAIN;
	memcpy(held->p, held->head, TLS_HEADER_LEN);
	held->len = 0;
	return RC_OK;
}

/*
 * The next whole record: *record, where it lies.  RC_AGAIN: all input is taken
 * and there is none.
 */
static MUST_CHECK enum rc next_record(struct tls *t, struct tls_in *in,
    struct tls_out *out, const uint8_t **record)
{
	const uint8_t *head = next_head(&t->held, in);
	const char *what = "";
	size_t whole;
	int alert = 0;
	enum rc rc;

	if (head == NULL)
		return RC_AGAIN;
	if (!head_is_good(head, &alert, &what))
		return refuse(t, alert, what, out);
	whole = TLS_HEADER_LEN + payload_len(head);
	if (t->held.len == 0 && in->len >= whole) {
		*record = in->p;
		in->p += whole;
		in->len -= whole;
		return RC_OK;
	}
	rc = gather(t, in, whole);
	if (rc == RC_OK)
		*record = t->held.p;
	return rc;
}

/* RC_OK: it is not the end. */
static MUST_CHECK enum rc on_alert(
    struct tls *t, const uint8_t *p, size_t len, struct tls_out *out)
{
	if (len != ALERT_LEN)
		return refuse(
		    t, SSL_AD_DECODE_ERROR, "an alert of another length", out);
	if (p[1] == SSL_AD_USER_CANCELLED)
		return ++t->empty > EMPTY_MAX
		           ? refuse(t, SSL_AD_UNEXPECTED_MESSAGE,
				 "too many alerts", out)
		           : RC_OK;
	if (p[1] == SSL_AD_CLOSE_NOTIFY) {
		t->state = TLS_PEER_CLOSED;
		return RC_OK;
	}
	tls_set_alert_fault(t, p[1]);
	return tls_fail(t);
}

static MUST_CHECK enum rc on_message(
    struct tls *t, const uint8_t *p, size_t len, struct tls_out *out)
{
	static const uint8_t update[KEY_UPDATE_LEN - 1] = { KEY_UPDATE, 0, 0,
		1 };

	/* It changes the key: nothing may follow in its record. */
	if (len != KEY_UPDATE_LEN || memcmp(p, update, sizeof(update)) != 0)
		return refuse(t, SSL_AD_UNEXPECTED_MESSAGE,
		    "unexpected message: it belongs into a handshake", out);
	if (p[KEY_UPDATE_LEN - 1] > 1)
		return refuse(t, SSL_AD_ILLEGAL_PARAMETER,
		    "a key update of another kind", out);
	if (++t->empty > EMPTY_MAX)
		return refuse(
		    t, SSL_AD_UNEXPECTED_MESSAGE, "too many key updates", out);
	if (p[KEY_UPDATE_LEN - 1] == 1)
		t->owes_update = true;
	if (tls_keys_update(&t->read) != RC_OK)
		return give_up(t, RC_CRYPTO);
	return RC_OK;
}

/* What came out of a record: content, its type, padding. */
static MUST_CHECK enum rc on_content(struct tls *t, const uint8_t *p,
    size_t len, size_t *data, struct tls_out *out)
{
	uint8_t type;

	if (len > TLS_CONTENT_MAX + 1)
		return refuse(t, SSL_AD_RECORD_OVERFLOW,
		    "a record that is too long", out);
	while (len > 0 && p[len - 1] == 0)
		len--;
	if (len == 0)
		return refuse(t, SSL_AD_UNEXPECTED_MESSAGE,
		    "a record without a type", out);
	type = p[--len];
	if (type == TLS_CONTENT_ALERT)
		return on_alert(t, p, len, out);
	if (type == TLS_CONTENT_HANDSHAKE)
		return on_message(t, p, len, out);
	if (type != TLS_CONTENT_DATA)
		return refuse(t, SSL_AD_UNEXPECTED_MESSAGE,
		    "a record of an unknown type", out);
	t->empty = len == 0 ? t->empty + 1 : 0;
	if (t->empty > EMPTY_MAX)
		return refuse(t, SSL_AD_UNEXPECTED_MESSAGE,
		    "too many records without content", out);
	*data = len;
	return RC_OK;
}

/* One record to plain[0..cap), or, when it does not fit, to what is held. */
static MUST_CHECK enum rc open_record(struct tls *t, const uint8_t *record,
    struct tls_out *out, struct tls_out *plain)
{
	const size_t payload = payload_len(record);
	const size_t text = payload - TLS_TAG_SIZE;
	uint8_t *to = plain->p + plain->len;
	size_t data = 0;
	enum rc rc;

	if (room_of(plain) < text) {
		if (record != t->held.p && hold(t, text) != RC_OK)
			return give_up(t, RC_NOMEM);
		to = record == t->held.p ? t->held.p + TLS_HEADER_LEN
		                         : t->held.p;
	}
	rc = tls_keys_open(&t->read, record, payload, to);
	if (rc == RC_DENIED)
		return refuse(t, SSL_AD_BAD_RECORD_MAC,
		    "a record was changed on its way", out);
	if (rc != RC_OK)
		return give_up(t, rc);
	rc = on_content(t, to, text, &data, out);
	if (rc != RC_OK || data == 0)
		return rc;
	if (to == plain->p + plain->len) {
		plain->len += data;
	} else {
		t->held.at = (size_t)(to - t->held.p);
		t->held.content = data;
	}
	return RC_OK;
}

static void hand_out_held(struct tls *t, struct tls_out *plain)
{
	struct tls_held *held = &t->held;
	const size_t n = least(held->content, room_of(plain));

	assert(held->p != NULL); /* content > 0 */
	memcpy(plain->p + plain->len, held->p + held->at, n);
	plain->len += n;
	held->at += n;
	held->content -= n;
}

enum rc tls_recv(struct tls *t, struct tls_in *in, struct tls_out *out,
    uint8_t *plain, size_t cap, size_t *got)
{
	struct tls_out to = { .p = plain, .cap = cap };
	enum rc rc = RC_OK;

	*got = 0;
	if (t->state == TLS_FAILED)
		return RC_DENIED;
	if (t->state == TLS_HANDSHAKE)
		return RC_STATE;
	ERR_clear_error();
	if (in->len >= BUSY_BYTES)
		t->busy = true;
	while (rc == RC_OK && t->state == TLS_OPEN && to.len < cap) {
		const uint8_t *record = NULL;

		if (t->held.content > 0) {
			hand_out_held(t, &to);
			continue;
		}
		rc = next_record(t, in, out, &record);
		if (record != NULL)
			rc = open_record(t, record, out, &to);
	}
	*got = to.len;
	/* A key update that is owed goes ahead of what is sent next: a peer
	 * that asks all the time and reads nothing costs nothing. */
	let_go(t);
	if (rc == RC_AGAIN)
		return RC_OK;
	return rc == RC_OK || rc == RC_DENIED ? rc : give_up(t, rc);
}

/* --- What is sent --------------------------------------------------------- */

enum rc tls_send(struct tls *t, const uint8_t *data, size_t len,
    struct tls_out *out, size_t *taken)
{
	const size_t fragment = tls_kind_fragment(t->kind);
	enum rc rc = RC_OK;

	*taken = 0;
	if (t->state == TLS_FAILED)
		return RC_DENIED;
	if (t->state == TLS_HANDSHAKE || t->closing)
		return RC_STATE;
	ERR_clear_error();
	while (*taken < len && rc == RC_OK) {
		const size_t piece = least(len - *taken, fragment);

		if (room_of(out) < piece + TLS_RECORD_EXTRA + KEY_UPDATE_ROOM)
			break;
		if (t->owes_update || t->write.records >= TLS_KEY_RECORDS)
			rc = update_own_key(t, out);
		if (rc == RC_OK)
			rc = put_record(
			    t, TLS_CONTENT_DATA, data + *taken, piece, out);
		if (rc == RC_OK)
			*taken += piece;
	}
	return rc == RC_OK ? RC_OK : give_up(t, rc);
}

void tls_close(struct tls *t, struct tls_out *out)
{
	if (t->closing || (t->state != TLS_OPEN && t->state != TLS_PEER_CLOSED))
		return;
	ERR_clear_error();
	put_alert(t, SSL_AD_CLOSE_NOTIFY, out);
	t->closing = true;
}

void tls_rest(struct tls *t)
{
	t->busy = false;
	let_go(t);
	tls_keys_rest(&t->read);
	tls_keys_rest(&t->write);
}
