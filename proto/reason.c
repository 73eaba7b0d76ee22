#include "proto/reason.h"

#include "proto/text.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	const char *advice;
} reasons[REASON_COUNT] = {
	[REASON_NONE] = { "none", "Nothing to do." },
	[REASON_NO_ROUTE] = { "no-route",
	    "Give the machine a route: longarm machine set-route." },
	[REASON_STALE_ROUTE] = { "stale-route",
	    "The relay has not heard of the newest route yet; try again, then "
	    "look at its control session: longarm relay show." },
	[REASON_NOT_PERMITTED] = { "not-permitted",
	    "The certificate or API key used may not do this; ask an "
	    "administrator." },
	[REASON_DNS] = { "dns",
	    "Check the name and the resolver on the host that dialled." },
	[REASON_REFUSED] = { "refused",
	    "Is the program running there, and is the port right?" },
	[REASON_CONNECT_TIMEOUT] = { "connect-timeout",
	    "Nothing answered: check address, firewall and routing." },
	[REASON_TLS] = { "tls",
	    "The TLS handshake failed; look for a proxy that intercepts TLS." },
	[REASON_CLOCK] = { "clock",
	    "Set the clock (NTP) on the machine named; 5 minutes of skew are "
	    "tolerated." },
	[REASON_WRONG_IDENTITY] = { "wrong-identity",
	    "Another program answered at this address; check the route." },
	[REASON_REVOKED] = { "revoked",
	    "The key was revoked; join again with a new token." },
	[REASON_CLONE] = { "clone",
	    "Two copies of one machine exist: longarm machine show names them; "
	    "stop one for good, then: longarm machine release." },
	[REASON_JOURNAL] = { "journal",
	    "The machine's journal is not the one known; was it restored from "
	    "a copy?  Then: longarm machine release." },
	[REASON_SUPERSEDED] = { "superseded",
	    "A newer deployment has been there; deploy again if you want the "
	    "older one." },
	[REASON_RELAY_DOWN] = { "relay-down",
	    "Start the relay named, or give the machine another route." },
	[REASON_AGENT_DOWN] = { "agent-down",
	    "Start longarm-tentacle on the machine, then check its link: "
	    "longarm-tentacle status." },
	[REASON_DEADLINE] = { "deadline",
	    "It took too long; look at the machine's load and at the path." },
	[REASON_TOO_MANY] = { "too-many",
	    "A limit was reached; wait, or raise the limit named." },
	[REASON_MEMORY] = { "memory",
	    "A memory budget is used up; wait, or raise the budget named." },
	[REASON_DRAINING] = { "draining",
	    "The program named is shutting down; the work moves elsewhere." },
	[REASON_PROTOCOL] = { "protocol",
	    "The peers do not understand each other; compare versions." },
	[REASON_VERSION] = { "version",
	    "Upgrade the older program; versions differ by too much." },
	[REASON_TOKEN] = { "token", "Create a new one: longarm token create." },
	[REASON_EXPIRED] = { "expired",
	    "Its time is over: make a new token or key; for a certificate, "
	    "join again." },
	[REASON_NO_SPACE] = { "no-space",
	    "Free disk space on the machine named." },
	[REASON_CANCELLED] = { "cancelled", "Somebody asked for it." },
	[REASON_NOT_FOUND] = { "not-found",
	    "Check the name; list what there is." },
	[REASON_CONFLICT] = { "conflict",
	    "It clashes with what is there: look at that first, or choose "
	    "another name." },
	[REASON_BAD_PACKAGE] = { "bad-package",
	    "Build the package again; its contents may not be unpacked." },
	[REASON_BAD_CONFIG] = { "bad-config",
	    "Mend the setting or the file named." },
	[REASON_SCRIPT_FAILED] = { "script-failed",
	    "Read its log: longarm task log." },
	[REASON_TIMED_OUT] = { "timed-out",
	    "Raise the step's timeout or find out what it waits for." },
	[REASON_UNKNOWN] = { "unknown",
	    "Look at the machine, then run or deploy it again if that is needed." },
	[REASON_INTERNAL] = { "internal",
	    "This is a fault in Longarm; please report it with the log." },
	[REASON_PROXY] = { "proxy",
	    "Look at the proxy named: does it run, does it know the "
	    "credentials, do its rules let this through?" },
	[REASON_OUT_OF_MEMORY] = { "out-of-memory",
	    "Raise the step's memory, or find out what it needs so much for." },
};

const char *reason_name(enum reason code)
{
	return (unsigned)code < REASON_COUNT ? reasons[code].name : "internal";
}

const char *reason_advice(enum reason code)
{
	if ((unsigned)code >= REASON_COUNT)
		code = REASON_INTERNAL;
	return reasons[code].advice;
}

enum rc reason_parse(const char *name, enum reason *out)
{
	for (int i = 0; i < REASON_COUNT; i++) {
		if (strcmp(reasons[i].name, name) == 0) {
			*out = (enum reason)i;
			return RC_OK;
		}
	}
	return RC_NOTFOUND;
}

void fault_set(
    struct fault *f, enum reason code, const char *at, const char *format, ...)
{
	va_list args;

	if (f == NULL)
		return;
	f->code = code;
	(void)snprintf(f->at, sizeof(f->at), "%s", at != NULL ? at : "");
	va_start(args, format);
	(void)vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
	text_scrub(f->at);
	text_scrub(f->text);
}

void fault_clear(struct fault *f)
{
	if (f != NULL)
		*f = (struct fault){ .code = REASON_NONE };
}
