//! `rate_limit`: a token bucket per key.
//!
//! Client: without a token the rule's refusal (429 unless said) with `retry-after`, the least number of whole
//! seconds after which a token is there. Upstream: sees only what had a token. Bound: a fixed number of keys;
//! beyond it requests pass and are counted. Client leaves first: its token is spent.

use fault_rules::action::{RateLimit, Respond};
use fault_rules::decide::Why;
use fault_rules::state::Take;
use pingora_error::Result;
use pingora_proxy::Session;

use super::{Next, respond};
use crate::exchange::{Became, Exchange, Place, text};

/// Draws a token, or refuses.
pub(super) async fn check(
    session: &mut Session,
    exchange: &mut Exchange,
    part: usize,
    limit: &RateLimit,
) -> Result<Next> {
    let shared = exchange.shared.clone();
    let Some(open) = exchange.get() else { return Ok(Next::Forward) };
    let Some(identity) = &open.identity else { return Ok(Next::Forward) };
    let request = session.req_header();
    let place = Place {
        edge: &shared.edges[open.edge].name,
        connection: open.ctl.id,
        client: &open.ctl.client,
        upstream: &open.member(&shared).authority,
    };
    let header = |name: &str| text(&request.headers, name);
    let key = limit.per.key_hash(&identity.facts(request, &place, &header));
    let rule = open.live.ids[open.plan.parts[part].rule].clone();
    let spared = match shared.rules.gauges.take(&rule, key, shared.rules.now()) {
        Take::Granted => Why::WithinLimit,
        Take::Overflow => Why::BucketOverflow,
        Take::Denied { .. } if open.share_open && open.note_share(true, &shared) => Why::Cap,
        Take::Denied { retry_after_s } => {
            let refusal = refusal(&limit.refusal, retry_after_s);
            return respond::answer(session, exchange, part, &refusal).await;
        }
    };
    open.plan.parts[part].became = Became::Suppressed(spared);
    Ok(Next::Forward)
}

fn refusal(of_rule: &Respond, retry_after_s: u64) -> Respond {
    let mut refusal = of_rule.clone();
    refusal.headers.push(("retry-after".to_owned(), retry_after_s.to_string()));
    refusal
}
