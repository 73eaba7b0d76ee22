#include "proto/rc.h"

const char *rc_name(enum rc rc)
{
	switch (rc) {
	case RC_OK:
		return "ok";
	case RC_AGAIN:
		return "again";
	case RC_NOMEM:
		return "out of memory";
	case RC_LIMIT:
		return "limit";
	case RC_PROTO:
		return "protocol";
	case RC_STATE:
		return "state";
	case RC_NOTFOUND:
		return "not found";
	case RC_EXISTS:
		return "exists";
	case RC_DENIED:
		return "not permitted";
	case RC_IO:
		return "io";
	case RC_CRYPTO:
		return "crypto";
	}
	return "unknown";
}
