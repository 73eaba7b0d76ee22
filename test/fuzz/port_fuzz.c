/* fuzz: tentacle common proto */
/* about: tentacle/port.c proto/message_port.c */
/*
 * One message of the other process, in either direction: the first byte says
 * from whom.  What is read as a word must be what that side may say, and
 * writing it again gives the same word.
 */
#include "tentacle/port.h"

#include "proto/message_control.h"
#include "proto/message_upkeep.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static enum rc write_word(const struct port_word *word, struct packbuf *out)
{
	switch (word->kind) {
	case PORT_LIFE:
		return msg_port_life_encode(&word->u.life, out);
	case PORT_READY:
		return msg_port_ready_encode(&word->u.ready, out);
	case PORT_CONTEST:
		return msg_port_contest_encode(&word->u.contest, out);
	case PORT_UPKEEP:
		break;
	}
	return RC_NOTFOUND;
}

static void check_word(enum port_side from, const struct port_word *word)
{
	struct packbuf pack;
	struct port_word again;
	struct fault fault;

	assert(word->kind != PORT_LIFE || from == PORT_EXEC);
	assert((word->kind != PORT_READY && word->kind != PORT_CONTEST) ||
	       from == PORT_NET);
	assert(word->kind != PORT_UPKEEP || !word->head.is_reply);
	if (word->kind == PORT_UPKEEP) {
		assert(from == PORT_EXEC || word->head.op == OP_CERTIFICATE);
		return;
	}
	packbuf_init(&pack, PORT_MESSAGE_MAX);
	assert(write_word(word, &pack) == RC_OK);
	assert(port_read(from, packbuf_bytes(&pack), &again, &fault) == RC_OK);
	assert(again.kind == word->kind);
	packbuf_fini(&pack);
}

/* As member_upkeep() reads them. */
static void read_upkeep(const struct msg_head *head, struct bytes message)
{
	struct fault fault;
	union {
		struct msg_revoked revoked;
		struct msg_certificate certificate;
		struct msg_trust trust;
		struct msg_peers peers;
	} m;

	if (head->op == OP_REVOKED &&
	    msg_revoked_decode(message, &m.revoked, &fault) == RC_OK)
		msg_revoked_clear(&m.revoked);
	else if (head->op == OP_CERTIFICATE &&
		 msg_certificate_decode(message, &m.certificate, &fault) ==
		     RC_OK)
		msg_certificate_clear(&m.certificate);
	else if (head->op == OP_TRUST &&
		 msg_trust_decode(message, &m.trust, &fault) == RC_OK)
		msg_trust_clear(&m.trust);
	else if (head->op == OP_PEERS &&
		 msg_peers_decode(message, &m.peers, &fault) == RC_OK)
		msg_peers_clear(&m.peers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct port_word word;
	struct fault fault;
	struct bytes message;
	enum port_side from;

	if (len < 1)
		return 0;
	from = data[0] & 1 ? PORT_NET : PORT_EXEC;
	message = bytes_of(data + 1, len - 1);
	if (port_read(from, message, &word, &fault) != RC_OK)
		return 0;
	check_word(from, &word);
	if (word.kind == PORT_UPKEEP)
		read_upkeep(&word.head, message);
	return 0;
}
