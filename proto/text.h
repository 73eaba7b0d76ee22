/*
 * text.h - text that is safe to show: one line of valid UTF-8.
 *
 * Peers' text ends up in logs, terminals and JSON.  Control characters (C0,
 * DEL and C1) and broken UTF-8 never pass.
 */
#ifndef PROTO_TEXT_H
#define PROTO_TEXT_H

#include "proto/bytes.h"

bool text_is_line(struct bytes text);
/* Each byte that keeps the text from being a line becomes '?'. */
void text_scrub(char *text);

#endif
