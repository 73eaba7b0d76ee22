/*
 * message_parts.h - tables that the messages of several files share.
 * For proto/message*.c and hello.c only.
 */
#ifndef PROTO_MESSAGE_PARTS_H
#define PROTO_MESSAGE_PARTS_H

#include "proto/shape.h"

extern const struct shape part_instance;    /* struct msg_instance */
extern const struct shape part_incarnation; /* struct msg_incarnation */
extern const struct shape part_revocations; /* struct msg_revocations */
extern const struct shape part_text;        /* struct bytes, MSG_TEXT_MAX */
extern const struct shape part_id;          /* struct msg_id */
extern const struct shape part_result;      /* struct msg_result */
extern const struct shape part_peer;        /* struct msg_peer */
extern const struct shape part_certificate; /* struct bytes: DER */

/* Names of enumerators, for SHAPE_ENUM. */
const char *part_ticket_state(unsigned state);
const char *part_role(unsigned role);
const char *part_reason(unsigned reason);

#define ROLE_BIT(role)   (1U << (role))
#define ROLES_OF_PEERS   (ROLE_BIT(ROLE_SERVER) | ROLE_BIT(ROLE_RELAY))
#define ROLES_OF_JOINERS (ROLE_BIT(ROLE_RELAY) | ROLE_BIT(ROLE_TENTACLE))

#endif
