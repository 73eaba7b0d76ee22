/* Mutant reap-early: a script is reaped before its end is recorded. */
#include "common/failpoint.h"
#include "tentacle/guardian/guard.h"
#include "test/failing/failing.h"

#include <sys/wait.h>

enum rc __real_guard_put_synced(struct guard *g, enum guard_slot slot);
enum rc __wrap_guard_put_synced(struct guard *g, enum guard_slot slot);

enum rc __wrap_guard_put_synced(struct guard *g, enum guard_slot slot)
{
	siginfo_t info;

	if (slot == GUARD_EXIT && failing_has_mutant("reap-early"))
		(void)waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
	if (slot == GUARD_EXIT)
		failpoint("guardian.recording");
	return __real_guard_put_synced(g, slot);
}
