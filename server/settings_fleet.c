/* settings_fleet.c - what the fleet wants to know; apart, because init and
 * `config check` have no use for links. */
#include "server/settings.h"

#include "common/settings.h"

#include <stdio.h>
#include <string.h>

static uint32_t ms(const struct config *c, const char *section, const char *key)
{
	uint64_t value = config_duration_ms(c, section, key);

	return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static MUST_CHECK enum rc read_advertise(
    const struct config *c, struct fleet_settings *f, struct fault *fault)
{
	struct config_endpoint e;
	struct endpoint to = { .host = "" };

	f->advertise[0] = '\0';
	if (config_endpoint(c, "server", "advertise", &e) != RC_OK)
		return RC_OK;
	if (e.host[0] == '\0' || e.port == 0 ||
	    strlen(e.host) >= sizeof(to.host)) {
		fault_set(fault, REASON_BAD_CONFIG, "",
		    "server.advertise needs a host and a port that others can "
		    "dial");
		return RC_PROTO;
	}
	(void)snprintf(to.host, sizeof(to.host), "%s", e.host);
	to.port = e.port;
	endpoint_format(&to, f->advertise);
	return RC_OK;
}

enum rc server_settings_fleet(
    const struct config *c, struct fleet_settings *out, struct fault *fault)
{
	struct fleet_settings settings = { .advertise = "" };
	struct fleet_settings *f = &settings;
	enum rc rc = config_endpoint(c, "server", "listen", &f->listen);

	if (rc == RC_OK)
		rc = read_advertise(c, f, fault);
	if (rc != RC_OK)
		return rc;
	settings_link(c, &f->link);
	f->asks_max = (uint32_t)config_int(c, "fleet", "requests");
	f->enrols_max = (uint32_t)config_int(c, "fleet", "enrolments");
	f->approval_ms = ms(c, "fleet", "approval-retry");
	f->flap.falls = (uint32_t)config_int(c, "fleet", "flap-falls");
	f->flap.window_ms = ms(c, "fleet", "flap-window");
	f->flap.stable_ms = ms(c, "fleet", "flap-stable");
	f->certificate_s = ms(c, "fleet", "certificate") / 1000;
	f->open_ms = ms(c, "fleet", "open");
	f->request_ms = ms(c, "fleet", "request");
	f->idle_ms = ms(c, "fleet", "idle");
	f->table_ms = ms(c, "fleet", "table");
	f->presence_ms = ms(c, "fleet", "presence");
	f->standing_max = (uint32_t)config_int(c, "fleet", "standing");
	f->deploy_max = (uint32_t)config_int(c, "fleet", "deploys");
	*out = settings;
	return RC_OK;
}
