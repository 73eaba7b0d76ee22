/*
 * failpoint.h - places where tests kill or stop a program.
 *
 * In what is shipped failpoint() does nothing at all: no environment and no
 * file can make it.  Tests link the same objects with test/failing/, where it
 * does what a file asks for.  Names say what has just become true; they are
 * listed in docs/developer.md.  Any thread.
 */
#ifndef COMMON_FAILPOINT_H
#define COMMON_FAILPOINT_H

void failpoint(const char *name);

#endif
