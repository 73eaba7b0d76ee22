#include "tentacle/confine.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define PASSWD_MAX 16384

enum rc confine_find_user(const char *name, struct confine_user *out)
{
	char text[PASSWD_MAX];
	struct passwd entry, *found = NULL;
	int error = getpwnam_r(name, &entry, text, sizeof(text), &found);

	/* Nobody of this name, in the words of one system or another. */
	if (found == NULL && (error == 0 || error == ENOENT || error == ESRCH))
		return RC_NOTFOUND;
	if (found == NULL) {
		errno = error;
		return RC_IO;
	}
	*out = (struct confine_user){ found->pw_uid, found->pw_gid };
	return RC_OK;
}

static bool is_only(const struct confine_user *user)
{
	uid_t r = 0, e = 0, s = 0;
	gid_t rg = 0, eg = 0, sg = 0;

	return getresuid(&r, &e, &s) == 0 && getresgid(&rg, &eg, &sg) == 0 &&
	       r == user->uid && e == user->uid && s == user->uid &&
	       rg == user->gid && eg == user->gid && sg == user->gid;
}

enum rc confine_become(const struct confine_user *user, struct fault *fault)
{
	/* The kernel takes all capabilities from who ceases to be root. */
	if (setgroups(0, NULL) == 0 &&
	    setresgid(user->gid, user->gid, user->gid) == 0 &&
	    setresuid(user->uid, user->uid, user->uid) == 0 && is_only(user))
		return RC_OK;
	fault_set(fault, REASON_INTERNAL, "",
	    "cannot become the user with id %u: %s", (unsigned)user->uid,
	    strerrordesc_np(errno));
	return RC_IO;
}
