/*
 * note_line.h - one line by which a script speaks to the server.  Pure.
 *
 *     ##longarm[verb key='value' key='value']
 *
 * In values || stands for |, |' for ', |n for a newline and |r for a carriage
 * return; nothing else is escaped, and no other control characters but tabs are
 * allowed, so that every value can be written in one way only.
 *
 *     set name='Url' value='http://x' sensitive='yes'
 *     artifact path='out/report.html' name='report.html'
 *     progress percent='40' text='copying'
 *     warning text='disk nearly full'
 */
#ifndef TENTACLE_NOTE_LINE_H
#define TENTACLE_NOTE_LINE_H

#include "proto/message_deploy.h"

#define NOTE_LINE_BEGIN "##longarm["
#define NOTE_LINE_MAX   20000 /* bytes, without its newline */
#define NOTE_PATH_MAX   1024

/* What it says.  name: of the variable, or the artifact's file (path). */
struct note_line {
	enum note_kind kind;
	uint32_t percent;
	bool sensitive;
	char name[NOTE_PATH_MAX];
	char title[MSG_TEXT_MAX + 1]; /* artifact: what it is called */
	uint8_t text[NOTE_TEXT_MAX];
	size_t text_len;
	/* What the value is in the line, for masking: borrows from it. */
	struct bytes raw_text;
};

/*
 * A line without its newline that begins with NOTE_LINE_BEGIN.  RC_PROTO: it is
 * plain text; the fault says in one line why.
 */
MUST_CHECK enum rc note_line_parse(
    struct bytes line, struct note_line *out, struct fault *fault);

#endif
