/*
 * record.h - what is known of one script's process, in one block of the disk.
 * Pure: no file is touched.  Guardians write it, the tentacle reads it.
 *
 * The file has GUARD_RECORD_SIZE bytes from the beginning, so that nothing of
 * it needs room on the disk later.  It is divided into slots; each is written
 * once (GUARD_STOP and GUARD_OUTPUT: replaced), by one process, as one line:
 *
 *     exec version=1 pid=4711 start=123456 boot=0f6b... crc=89abcdef
 *
 * and is filled up with blanks.  A later version may add keys and slots: they
 * are skipped.  `cat record` shows all that is known.
 *
 * What it proves: without a word in GUARD_EXEC the script never ran.  A slot
 * with anything in it that cannot be read is never taken for a blank one.
 */
#ifndef TENTACLE_GUARDIAN_RECORD_H
#define TENTACLE_GUARDIAN_RECORD_H

#include "proto/bytes.h"
#include "proto/rc.h"

#include <stdbool.h>
#include <stdint.h>

#define GUARD_VERSION     1
#define GUARD_RECORD_SIZE 4096
#define GUARD_SLOT_SIZE   256 /* of most slots, with its newline */
#define GUARD_TREE_SIZE   680 /* of a slot that holds a path */
#define GUARD_TREES       3   /* control groups of one script */
#define GUARD_BOOT_SIZE   37  /* kernel's boot id, with NUL */

enum guard_slot {
	GUARD_HEADER,     /* made by the tentacle */
	GUARD_SUPERVISOR, /* who it is */
	GUARD_SHIM,       /* who it is */
	GUARD_EXEC,       /* last act before execve: from here on it may run */
	GUARD_NOEXEC,     /* but execve failed, or something before it */
	GUARD_STOP,       /* it is to end; why */
	GUARD_OUTPUT,     /* some of its output was cut off */
	GUARD_EXIT,       /* how it ended: the first one counts */
	GUARD_TREE_1,     /* control groups that hold what it started */
	GUARD_TREE_2,
	GUARD_TREE_3,
	GUARD_SLOTS
};

enum guard_slot_state {
	SLOT_BLANK,
	SLOT_VALID,
	SLOT_DAMAGED /* something was written there and cannot be read */
};

/* A process, for ever: its number alone may be another's tomorrow. */
struct guard_who {
	int32_t pid;
	uint64_t start; /* kernel's clock ticks since boot */
	char boot[GUARD_BOOT_SIZE];
};

enum guard_step {
	STEP_NONE,
	STEP_SETUP,   /* of the guardian */
	STEP_WORKDIR, /* chdir */
	STEP_MARK,    /* the EXEC mark could not be synced */
	STEP_EXEC,    /* execve */
	STEP_STOPPED, /* ended before it began */
	STEP_LIMITS,  /* of memory or processes: nobody here can keep them */
	STEP_USER,    /* becoming the user that it is to run as */
	STEP_COUNT
};

enum guard_why {
	WHY_NONE,
	WHY_CANCELLED,
	WHY_TIMED_OUT,
	WHY_MEMORY, /* a part of it was killed for lack of memory */
	WHY_COUNT
};

enum guard_how {
	HOW_NONE,
	HOW_EXITED,
	HOW_KILLED, /* by a signal */
	HOW_NOEXEC, /* it never ran: step and error say why */
	HOW_COUNT
};

enum guard_by {
	BY_NONE,
	BY_SHIM,
	BY_SUPERVISOR,
	BY_COUNT
};

struct guard_exit {
	enum guard_how how;
	enum guard_by by;
	int32_t code;    /* HOW_EXITED */
	uint32_t signal; /* HOW_KILLED */
	enum guard_step step;
	int32_t error;      /* errno, HOW_NOEXEC */
	enum guard_why why; /* it was stopped */
	bool forced;        /* by SIGKILL, after the grace */
	uint64_t oom;       /* processes that the kernel killed for memory */
	uint64_t refused;   /* processes above its limit */
	uint64_t output;    /* bytes of the output file at the end */
	uint64_t at_ms;     /* unix time */
};

struct guard_record {
	enum guard_slot_state state[GUARD_SLOTS];
	/* Each valid when its slot is. */
	struct {
		uint32_t attempt;  /* 1: the first launch */
		uint64_t until_ms; /* CLOCK_BOOTTIME when time is up */
		char boot[GUARD_BOOT_SIZE];
	} header;
	struct guard_who supervisor, shim, exec;
	struct {
		enum guard_step step;
		int32_t error;
	} noexec;
	struct {
		enum guard_why why;
		bool forced;
	} stop;
	uint64_t dropped; /* GUARD_OUTPUT: bytes */
	struct guard_exit exit;
	char tree[GUARD_TREES][GUARD_TREE_SIZE];
};

/* Where a slot is in the file, and its size. */
size_t guard_slot_offset(enum guard_slot slot);
size_t guard_slot_size(enum guard_slot slot);

/*
 * The bytes of one slot of r into out (guard_slot_size() bytes, all written).
 * RC_LIMIT: a path is too long or holds control characters.
 */
MUST_CHECK enum rc guard_slot_encode(
    const struct guard_record *r, enum guard_slot slot, uint8_t *out);
/* A file that is blank but for r's header. */
void guard_record_encode(
    const struct guard_record *r, uint8_t out[GUARD_RECORD_SIZE]);
/* One slot, of guard_slot_size() bytes, into r. */
void guard_slot_decode(
    struct guard_record *r, enum guard_slot slot, struct bytes in);
/* RC_PROTO: not of the right size, or its header cannot be read. */
MUST_CHECK enum rc guard_record_decode(struct bytes in, struct guard_record *r);

const char *guard_step_name(enum guard_step step);

#endif
