#include "common/trust_validity.h"

#include "common/trust.h"

static void set_clock_fault(
    struct fault *fault, const char *who, int64_t not_before_s, int64_t now_s)
{
	char from[CERTS_DATE_SIZE], now[CERTS_DATE_SIZE];

	certs_date(not_before_s, from);
	certs_date(now_s, now);
	fault_set(fault, REASON_CLOCK, "",
	    "the certificate of %s is valid from %s, and this machine's clock "
	    "says %s",
	    who, from, now);
}

void trust_set_expired_fault(
    struct fault *fault, const char *who, int64_t not_after_s, int64_t now_s)
{
	char until[CERTS_DATE_SIZE], now[CERTS_DATE_SIZE];

	certs_date(not_after_s, until);
	certs_date(now_s, now);
	fault_set(fault, REASON_EXPIRED, "",
	    "the certificate of %s expired %s, and this machine's clock says "
	    "%s",
	    who, until, now);
}

void trust_set_retired_fault(struct fault *fault, const char *who)
{
	fault_set(fault, REASON_EXPIRED, "",
	    "the authority that issued the certificate of %s was retired", who);
}

enum rc trust_check_time(const struct certs *chain, int64_t now_s,
    const char *who, int64_t *not_after_s, struct fault *fault)
{
	int64_t from = 0, until = 0;
	size_t i = chain->count;

	while (i-- > 0) {
		if (certs_validity(chain->cert[i], &from, &until) != RC_OK) {
			fault_set(fault, REASON_TLS, "",
			    "the validity of the certificate of %s is "
			    "unreadable",
			    who);
			return RC_DENIED;
		}
		*not_after_s = until;
		if (now_s < from - TRUST_SKEW_S) {
			set_clock_fault(fault, who, from, now_s);
			return RC_DENIED;
		}
		if (now_s > until + TRUST_SKEW_S) {
			trust_set_expired_fault(fault, who, until, now_s);
			return i == 0 ? RC_AGAIN : RC_DENIED;
		}
	}
	return RC_OK;
}
