#include "server/fleet/flap.h"

void flap_fell(
    struct flap *flap, const struct flap_settings *settings, uint64_t now_ms)
{
	uint64_t first;

	flap->fell_ms[flap->falls++ % FLAP_FALLS_MAX] = now_ms;
	if (settings->falls == 0 || settings->falls > FLAP_FALLS_MAX)
		return;
	/* Not quiet yet: it begins anew. */
	if (flap_until(flap, now_ms) != 0) {
		flap->until_ms = now_ms + settings->stable_ms;
		return;
	}
	if (flap->falls < settings->falls)
		return;
	first = flap->fell_ms[(flap->falls - settings->falls) % FLAP_FALLS_MAX];
	if (now_ms - first <= settings->window_ms)
		flap->until_ms = now_ms + settings->stable_ms;
}

uint64_t flap_until(const struct flap *flap, uint64_t now_ms)
{
	return now_ms < flap->until_ms ? flap->until_ms : 0;
}
