/*
 * table_file.h - the slice of the route table on disk: an append-only log.
 *
 *     u32 length, u32 CRC of the message, message      (big-endian), again...
 *
 * The first messages are the pages of a full table, those behind them the
 * pages of deltas as they came: a change costs its own bytes.  When the log
 * has outgrown what it describes, it is written anew beside and renamed.
 *
 * Nothing is synced, and nothing has to be.  What a power loss takes is a tail
 * (a record that is torn is cut off), so the file is the table as it was at
 * some earlier time or, at the worst, none.  The relay greets with the number
 * that it found, and the server sends what is newer, or all, before it counts
 * on it; and no seal is carried before that session is there (relay/opens.c).
 * So the file only saves a full push.  Loop's thread; writes block on the page
 * cache only.
 */
#ifndef RELAY_TABLE_FILE_H
#define RELAY_TABLE_FILE_H

#include "relay/table.h"

struct table_file;

/* Any file is fine, also none: what can be read of it is in the table then.
 * RC_NOMEM; RC_IO: it may not be read or written (fault). */
MUST_CHECK enum rc table_file_open(const char *path, struct table *t,
    struct table_file **out, struct fault *fault);
void table_file_close(struct table_file *f); /* NULL is fine */

/* The message of a page that was applied; call it for each.  When the disk
 * says no, that is logged, and all is written again later. */
void table_file_add(struct table_file *f, const struct table *t,
    const struct msg_table_page *page, struct bytes message);

/* For tests: bytes in the file, and how often it was written anew. */
size_t table_file_size(const struct table_file *f);
unsigned table_file_rewrites(const struct table_file *f);

#endif
