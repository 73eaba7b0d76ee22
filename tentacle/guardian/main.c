/*
 * longarm-guardian - watches one script of the tentacle's, which starts it.
 *
 * A static program without libraries, so that it starts fast and no upgrade of
 * anything can change it while a script runs.  Not for people: it is told what
 * to do by the files of a directory (guard.h).
 */
#include "tentacle/guardian/guard.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	/* Its words are for `ps`. */
	if (argc < 2 || strcmp(argv[1], "guard") != 0) {
		(void)fprintf(stderr,
		    "longarm-guardian " LONGARM_VERSION
		    ": started by longarm-tentacle, not by people\n");
		return 2;
	}
	closefrom(GUARD_FD_ALIVE + 1);
	return guard_main();
}
