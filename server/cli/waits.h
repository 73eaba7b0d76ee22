/*
 * waits.h - what a task waits for, in words and with the commands that decide
 * it.  Pure.
 */
#ifndef SERVER_CLI_WAITS_H
#define SERVER_CLI_WAITS_H

#include <jansson.h>
#include <stdio.h>

/* task: an answer of GET /api/v1/tasks/ID; NULL is fine.  Prints nothing when
 * it waits for nobody. */
void print_interruptions(const json_t *task, FILE *out);
/* Who decided what so far. */
void print_decisions(const json_t *task, FILE *out);

#endif
