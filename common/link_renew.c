#include "common/link_internal.h"

#include "common/log.h"

void link_on_life(
    struct link *link, link_life_fn risen, link_life_fn renew, void *arg)
{
	link->risen = risen;
	link->renew = renew;
	link->life_arg = arg;
}

void link_set_beside(struct link *link)
{
	link->beside = true;
}

bool link_is_beside(const struct link *link)
{
	return link->beside;
}

void link_renew(struct link *link)
{
	if (link->renew != NULL && link_is_up(link))
		link->renew(link->life_arg, link);
}

/* Who dialled us shall do so again; an older program lets it be, and the link
 * ends with its certificate. */
static void ask_for_another(struct link *link)
{
	const struct msg_tell tell = { .kind = TELL_RENEWED };
	struct packbuf pack;
	enum rc rc;

	packbuf_init(&pack, FRAME_PAYLOAD_MAX);
	rc = msg_tell_encode(&tell, &pack);
	if (rc == RC_OK)
		rc = mux_tell(link->mux, packbuf_bytes(&pack));
	packbuf_fini(&pack);
	if (rc == RC_OK)
		link_kick(link);
	else
		log_debug("link", link->label, "not told of a renewal: %s",
		    rc_name(rc));
}

void link_net_renewed(struct link_net *net)
{
	struct link *link;

	TAILQ_FOREACH(link, &net->links, all)
	{
		if (!link_is_up(link) || link->peer.role == ROLE_ANONYMOUS ||
		    link->plain)
			continue;
		if (link->role == MUX_DIALLER)
			link_renew(link);
		else
			ask_for_another(link);
	}
}
