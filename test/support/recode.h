/*
 * recode.h - every message by number: decode it, then encode what was read.
 * For the unit tests and the fuzz target of messages.
 */
#ifndef TEST_SUPPORT_RECODE_H
#define TEST_SUPPORT_RECODE_H

#include "proto/hello.h"
#include "proto/message_control.h"
#include "proto/message_deploy.h"
#include "proto/message_enrol.h"
#include "proto/message_port.h"
#include "proto/message_seal.h"
#include "proto/message_standing.h"
#include "proto/message_trace.h"
#include "proto/message_upkeep.h"

#define ALL_MESSAGES(DO)                                                       \
	DO(open)                                                               \
	DO(accept)                                                             \
	DO(reset)                                                              \
	DO(goaway)                                                             \
	DO(hello)                                                              \
	DO(tell)                                                               \
	DO(greet)                                                              \
	DO(welcome)                                                            \
	DO(confirm)                                                            \
	DO(health)                                                             \
	DO(health_reply)                                                       \
	DO(start)                                                              \
	DO(start_reply)                                                        \
	DO(cancel)                                                             \
	DO(cancel_reply)                                                       \
	DO(tickets)                                                            \
	DO(tickets_reply)                                                      \
	DO(forget)                                                             \
	DO(forget_reply)                                                       \
	DO(stage_query)                                                        \
	DO(stage_query_reply)                                                  \
	DO(locks)                                                              \
	DO(locks_reply)                                                        \
	DO(lock_break)                                                         \
	DO(lock_break_reply)                                                   \
	DO(attach)                                                             \
	DO(output)                                                             \
	DO(result)                                                             \
	DO(ack)                                                                \
	DO(stage)                                                              \
	DO(stage_from)                                                         \
	DO(piece)                                                              \
	DO(staged)                                                             \
	DO(note)                                                               \
	DO(enrol)                                                              \
	DO(enrolled)                                                           \
	DO(pending)                                                            \
	DO(table_page)                                                         \
	DO(table_ack)                                                          \
	DO(presence_sub)                                                       \
	DO(presence)                                                           \
	DO(peers)                                                              \
	DO(peers_reply)                                                        \
	DO(drain)                                                              \
	DO(status)                                                             \
	DO(status_reply)                                                       \
	DO(revoked)                                                            \
	DO(revoked_reply)                                                      \
	DO(certificate)                                                        \
	DO(certificate_reply)                                                  \
	DO(revocation_list)                                                    \
	DO(signed_list)                                                        \
	DO(trust)                                                              \
	DO(trust_reply)                                                        \
	DO(trust_bundle)                                                       \
	DO(fault)                                                              \
	DO(hop)                                                                \
	DO(port_life)                                                          \
	DO(port_ready)                                                         \
	DO(port_contest)

#define RECODE_DEFINE(X)                                                       \
	static inline enum rc recode_##X(                                      \
	    struct bytes in, struct packbuf *out, struct fault *fault)         \
	{                                                                      \
		struct msg_##X m;                                              \
		enum rc rc = msg_##X##_decode(in, &m, fault);                  \
                                                                               \
		if (rc != RC_OK)                                               \
			return rc;                                             \
		rc = msg_##X##_encode(&m, out);                                \
		msg_##X##_clear(&m);                                           \
		msg_##X##_clear(&m);                                           \
		return rc;                                                     \
	}
ALL_MESSAGES(RECODE_DEFINE)

struct recoder {
	const char *name;
	enum rc (*recode)(
	    struct bytes in, struct packbuf *out, struct fault *fault);
};

#define RECODE_ENTRY(X) { #X, recode_##X },
static const struct recoder recoders[] = { ALL_MESSAGES(RECODE_ENTRY) };
#define RECODER_COUNT (sizeof(recoders) / sizeof(recoders[0]))

#endif
