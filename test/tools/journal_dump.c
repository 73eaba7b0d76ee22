/*
 * journal_dump FILE - a tentacle's journal, one record a line:
 *
 *     accepted TICKET TASK EPOCH
 *     exec|passed TICKET PHASE
 *     ended TICKET STATE EXIT-CODE SIGNAL CAUSE SHA256|-
 *     tombstone|forgotten TICKET
 *
 * Others are left out.  Exit code 1: it cannot be read to its end.
 */
#include "common/fs.h"
#include "tentacle/journal_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX 268435456

static const char *const phases[PHASE_COUNT] = { "none", "script", "before",
	"switch", "after" };

static void show_ended(const struct journal_record *r)
{
	const struct journal_result *e = &r->result;

	(void)printf("ended %s %s %" PRId32 " %" PRIu32 " %s %s\n", r->ticket,
	    ticket_state_name(e->state), e->exit_code, e->signal,
	    reason_name(e->cause),
	    e->log_sha256[0] != '\0' ? e->log_sha256 : "-");
}

static void show(const struct journal_record *r)
{
	switch (r->type) {
	case JOURNAL_ACCEPTED:
		(void)printf("accepted %s %s %" PRIu64 "\n", r->ticket,
		    r->accepted.task, r->accepted.epoch);
		break;
	case JOURNAL_EXEC:
	case JOURNAL_PASSED:
		(void)printf("%s %s %s\n",
		    r->type == JOURNAL_EXEC ? "exec" : "passed", r->ticket,
		    phases[r->phase]);
		break;
	case JOURNAL_ENDED:
		show_ended(r);
		break;
	case JOURNAL_TOMBSTONE:
	case JOURNAL_FORGOTTEN:
		(void)printf("%s %s\n",
		    r->type == JOURNAL_TOMBSTONE ? "tombstone" : "forgotten",
		    r->ticket);
		break;
	case JOURNAL_EPOCH:
	case JOURNAL_DEPLOYMENT:
	case JOURNAL_INCARNATION:
	case JOURNAL_SETTLED:
	case JOURNAL_UNLOCKED:
		break;
	}
}

int main(int argc, char **argv)
{
	struct journal_record *r = calloc(1, sizeof(*r));
	struct fault fault = { .code = REASON_NONE };
	struct journal_cursor cursor;
	struct journal_header header;
	uint8_t *data = NULL;
	size_t len = 0;
	enum rc rc = RC_NOMEM;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: journal_dump FILE\n");
		free(r);
		return 64;
	}
	if (r != NULL)
		rc = fs_read_file(argv[1], FILE_MAX, &data, &len, &fault);
	if (rc == RC_OK)
		rc =
		    journal_header_decode(bytes_of(data, len), &header, &fault);
	if (rc == RC_OK)
		journal_cursor_init(
		    &cursor, bytes_of(data, len), header.counter);
	while (rc == RC_OK) {
		rc = journal_cursor_next(&cursor, r, &fault);
		if (rc == RC_OK)
			show(r);
	}
	if (rc != RC_NOTFOUND)
		(void)fprintf(
		    stderr, "%s: %s %s\n", argv[1], rc_name(rc), fault.text);
	free(data);
	free(r);
	return rc == RC_NOTFOUND ? 0 : 1;
}
