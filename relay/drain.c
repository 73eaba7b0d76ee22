#include "relay/relay.h"

#include "common/log.h"

/*
 * Before it stops, a relay says so: servers move its streams to other routes,
 * and its neighbours see to their other links.  It carries on meanwhile, but
 * takes nobody in, and stops when no stream is left, or its time is over.
 */

#define LOOK_MS 20

struct draining {
	struct relay *relay;
	struct loop_timer *look;
	uint64_t until_us;
};

static void tell_neighbours(struct relay *r)
{
	const struct msg_tell tell = { .kind = TELL_DRAIN };
	struct packbuf pack;
	struct link *link = NULL;

	packbuf_init(&pack, FRAME_PAYLOAD_MAX);
	if (msg_tell_encode(&tell, &pack) == RC_OK)
		link = link_next(r->net, NULL);
	for (; link != NULL; link = link_next(r->net, link)) {
		if (link_is_up(link) &&
		    mux_tell(link_mux(link), packbuf_bytes(&pack)) == RC_OK)
			link_kick(link);
	}
	packbuf_fini(&pack);
}

void relay_drain_told(struct relay *r, bool stop)
{
	if (r->drained == !stop)
		return;
	r->drained = !stop;
	log_info("relay", relay_name(r), "%s",
	    stop ? "an operator uses it again"
		 : "an operator moves its streams elsewhere");
	if (!stop)
		tell_neighbours(r);
}

static void on_look(void *arg)
{
	struct draining *d = arg;
	uint32_t left = bridges_count(d->relay->bridges);

	if (left > 0 && loop_now_us(d->relay->loop) < d->until_us) {
		loop_timer_set(d->look, LOOK_MS);
		return;
	}
	if (left > 0)
		log_info("relay", relay_name(d->relay),
		    "stopping with %u streams that had no other way", left);
	loop_stop(d->relay->loop);
}

void relay_drain(struct relay *r)
{
	struct draining d = { .relay = r };

	if (bridges_count(r->bridges) == 0 || r->settings->drain_ms == 0 ||
	    loop_timer_new(r->loop, on_look, &d, &d.look) != RC_OK)
		return;
	log_info("relay", relay_name(r), "draining: %u streams",
	    bridges_count(r->bridges));
	r->draining = true;
	listener_free(r->listener);
	r->listener = NULL;
	controls_drain(r);
	tell_neighbours(r);
	d.until_us = loop_now_us(r->loop) + r->settings->drain_ms * 1000ULL;
	loop_timer_set(d.look, LOOK_MS);
	loop_run(r->loop); /* told to stop once more, it ends at once */
	loop_timer_free(d.look);
}
