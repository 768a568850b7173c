//! One exchange from its request header to its place in the books.
//!
//! An exchange is opened once and posted once. The posting happens in [`Exchange::settle`], or, where a hook
//! panicked or the drain deadline dropped the task, when the exchange is dropped (`aborted`): no request is
//! ever lost from the books.

mod below;
mod bodies;
mod budget;
mod caps;
mod counting;
mod heads;
mod holding;
mod identity;
mod kept;
mod plan;
mod recent;
mod sessions;
mod settle;
mod streams;
mod trace;
mod upstream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fault_rules::Facts;
use fault_rules::decide::Why;
use http::HeaderMap;
use http::header::{AsHeaderName, CONTENT_TYPE, HOST};
use pingora_http::RequestHeader;
use smallvec::SmallVec;

use crate::books::Scope;
use crate::chain::Link;
use crate::config::Stumble;
use crate::conn::ConnCtl;
use crate::faults::shape::Shapes;
use crate::faults::stale::{self, Keeping};
use crate::recorder::Recorder;
use crate::rules::{Live, Mark};
use crate::runs::Run;
use crate::shared::Shared;
use crate::time::wall_us;

pub(crate) use bodies::{Answer, AnswerDigest, BodyCopy};
pub(crate) use budget::{Budget, MAX_HELD};
pub(crate) use heads::Heads;
pub(crate) use identity::{
    ATTEMPT, BELOW, ERROR, FAULT, Identity, OP, SQUALL_HEADERS, bears_ours, is_squall_header,
};
pub(crate) use plan::{Became, Part, Plan, Wish};
pub(crate) use recent::Recent;
pub(crate) use sessions::Sessions;
pub(crate) use settle::{Ending, Recorded};
pub(crate) use streams::{StreamLog, is_event_stream, kind as stream_kind};

use caps::ActiveGuard;
use identity::Asked;
use trace::Trace;
use upstream::Way;
pub(crate) use upstream::{MOST_WAITS, ROOM_PAUSE};

/// The state of one exchange; pingora's per-request context.
pub(crate) struct Exchange {
    pub(crate) shared: Arc<Shared>,
    open: Option<Box<Open>>,
}

/// What is known once the request header is there.
pub(crate) struct Open {
    pub(crate) edge: usize,
    pub(crate) ctl: Arc<ConnCtl>,
    pub(crate) http2: bool,
    /// Its header lets an HTTP/1 connection go on.
    pub(crate) keeps_alive: bool,
    /// No exchange came before it on its connection.
    is_first: bool,
    pub(crate) started: Instant,
    pub(crate) started_wall_us: u64,
    pub(crate) identity: Option<Identity>,
    pub(crate) run: Option<Arc<Run>>,
    way: Way,
    pub(crate) scopes: SmallVec<[Arc<Scope>; 2]>,
    /// What it is to exchanges of other edges.
    link: Link,
    pub(crate) live: Arc<Live>,
    pub(crate) plan: Plan,
    /// Guards that want to know how it ends, and where they count it.
    marks: SmallVec<[Mark; 1]>,
    /// [`crate::rules::Rules::turn`] when it began.
    turn: u64,
    pub(crate) fate: Fate,
    /// The wait that its client did not sit out: place in the plan, and when it began.
    pub(crate) held: Option<(usize, Instant)>,
    /// What acts on the answer, or on the body of the request.
    pub(crate) shapes: Shapes,
    /// Places in the plan of storms that wait for the outcome.
    pub(crate) storms: SmallVec<[usize; 1]>,
    /// Places in the plan of duplicates that wait for the request to be whole.
    pub(crate) duplicates: SmallVec<[usize; 1]>,
    /// The request as it went to the upstream, kept for copies.
    pub(crate) forwarded: Option<Box<RequestHeader>>,
    /// gRPC over HTTP/2: it needs HTTP/2 towards the origin too.
    grpc: bool,
    /// Requests handed to the upstream.
    pub(crate) tries: u32,
    /// Of those, how many died before the first answer byte.
    pub(crate) unanswered: u32,
    /// When it was handed to the upstream, the last time.
    pub(crate) asked_at: Option<Instant>,
    pub(crate) request_body: BodyCopy,
    pub(crate) answer: AnswerDigest,
    /// The messages of a stream, where the exchange is one and is recorded.
    pub(crate) stream: Option<Box<StreamLog>>,
    /// What answers to this request are kept by, for rules that serve them again.
    pub(crate) stale_key: Option<u128>,
    /// The answer, while it is kept.
    pub(crate) keeping: Option<Box<Keeping>>,
    /// Whether it counts as affected is not known yet.
    pub(crate) share_open: bool,
    /// Holds a place among the exchanges under a fault.
    active: Option<ActiveGuard>,
    /// What is copied for the recording.
    heads: Option<Heads>,
    /// Its span, where spans go anywhere.
    trace: Option<Box<Trace>>,
}

/// How a rule ended the exchange, if one did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Undecided,
    /// A rule answered: place in the plan.
    ShortCircuited(usize),
    /// A rule ended it without an answer: place in the plan.
    Dropped(usize),
}

impl Exchange {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Exchange { shared, open: None }
    }

    /// What is known of it; `None` before [`Exchange::begin`] and after it was settled.
    pub(crate) fn get(&mut self) -> Option<&mut Open> {
        self.open.as_deref_mut()
    }

    pub(crate) fn peek(&self) -> Option<&Open> {
        self.open.as_deref()
    }

    /// The request header is there: count it, name it, ask the rules.
    pub(crate) fn begin(&mut self, request: &RequestHeader, arrival: Arrival) {
        let shared = self.shared.clone();
        let Arrival { ctl, http2, bodyless } = arrival;
        let is_first = ctl.count_hook();
        let live = shared.rules.live();
        let run =
            Identity::session_said(&request.headers).and_then(|session| shared.runs.of_session(session));
        let mut scopes = SmallVec::<[Arc<Scope>; 2]>::from_iter([shared.totals.clone()]);
        scopes.extend(run.as_ref().map(|run| run.scope.clone()));
        for scope in &scopes {
            scope.open(ctl.edge);
        }
        let route = || format!("{} {}", request.method, captures::route::template(request.uri.path()));
        let link = shared.chain.enter(ctl.edge, &request.headers, &scopes, route);
        let mut open = Box::new(Open {
            edge: ctl.edge,
            http2,
            keeps_alive: false,
            is_first,
            started: Instant::now(),
            started_wall_us: wall_us(),
            identity: None,
            run,
            way: Way::default(),
            scopes,
            link,
            live,
            plan: Plan::default(),
            marks: SmallVec::new(),
            turn: shared.rules.turn(),
            fate: Fate::Undecided,
            held: None,
            shapes: Shapes::default(),
            storms: SmallVec::new(),
            duplicates: SmallVec::new(),
            forwarded: None,
            grpc: http2 && is_grpc(&request.headers),
            tries: 0,
            unanswered: 0,
            asked_at: None,
            request_body: BodyCopy::default(),
            answer: AnswerDigest::default(),
            stream: None,
            stale_key: None,
            keeping: None,
            share_open: false,
            active: None,
            heads: None,
            trace: shared.traces.get().map(|traces| Box::new(Trace::begin(request, traces))),
            ctl,
        });
        open.consult(request, &shared);
        let recorder = shared.recorder.as_ref().filter(|_| open.is_recorded(&shared));
        open.request_body = BodyCopy::new(open.keep(&shared), recorder.map(Recorder::budget));
        if let Some(recorder) = recorder {
            open.stream = StreamLog::of_request(&request.headers, recorder.budget());
        }
        if bodyless {
            open.ctl.request_over();
            open.request_body.end();
        }
        self.open = Some(open);
    }
}

/// Where a request came in.
pub(crate) struct Arrival {
    pub(crate) ctl: Arc<ConnCtl>,
    pub(crate) http2: bool,
    /// The header was all of it.
    pub(crate) bodyless: bool,
}

impl Open {
    /// Names the request where somebody wants to know, and asks the rules.
    fn consult(&mut self, request: &RequestHeader, shared: &Arc<Shared>) {
        let replayed = bears_ours(&request.headers) && request.headers.contains_key(OP);
        let ruled = !self.live.ids.is_empty() && shared.rules.standing.is_armed();
        if !(ruled || replayed || shared.recorder.is_some()) {
            self.way = Way::of(self.edge, None, shared);
            return;
        }
        let path = request.uri.path();
        let asked = Asked {
            edge: self.edge,
            headers: &request.headers,
            method: request.method.as_str(),
            path,
            query: request.uri.query(),
            client: &self.ctl.client,
            connection: self.ctl.id,
            names_operation: ruled,
        };
        let identity = Identity::of(&asked, &shared.sessions);
        shared.recent.note(identity.who.id, self.started.saturating_duration_since(shared.started));
        if let (Some(run), Some(op)) = (&self.run, identity.op_number)
            && run.edge == self.edge
        {
            run.scope.saw(op, identity.attempt);
        }
        self.way = Way::of(self.edge, Some(&identity), shared);
        if ruled {
            let ctl = self.ctl.clone();
            let place = Place {
                edge: &shared.edges[self.edge].name,
                connection: ctl.id,
                client: &ctl.client,
                upstream: &self.member(shared).authority,
            };
            let header = |name: &str| text(&request.headers, name);
            let facts = identity.facts(request, &place, &header);
            let decision = shared.rules.shielded(|| {
                shared.config.may_stumble(Stumble::Planning);
                shared.rules.decide(&self.live, &facts, shared.rules.run_now())
            });
            if !self.live.guards.is_empty() && !decision.protected {
                self.marks = shared.rules.marks(&self.live, &facts);
            }
            self.plan = Plan::new(decision, &self.live);
            let live = self.live.clone();
            let is_lifted = |part: &Part| shared.rules.standing.is_rule_lifted(&live.ids[part.rule]);
            self.plan.suppress(Why::Lifted, is_lifted);
            self.count(&facts, shared);
            self.stale_key = stale::key(request, self, shared);
            self.respect_caps(shared);
        }
        self.identity = Some(identity);
    }

    /// The origin's status is known: rules that waited for it are about this exchange, or not.
    pub(crate) fn answered(&mut self, shared: &Arc<Shared>) {
        if self.plan.matched.is_empty() {
            return;
        }
        self.plan.answered(self.answer.origin_status(), &self.live);
        self.count_answered(shared);
        let live = self.live.clone();
        let status_alone = |part: &Part| live.set.rules()[part.rule].on.status().is_some();
        let certain = self.plan.parts.iter().any(|part| part.became == Became::Open && status_alone(part));
        if certain {
            self.takes_effect(shared);
        }
    }

    /// Is it meant for the capture? Replayed traffic is not, unless asked.
    pub(crate) fn is_recorded(&self, shared: &Shared) -> bool {
        let replayed = self.identity.as_ref().is_some_and(|identity| identity.op_number.is_some());
        shared.recorder.is_some() && (shared.config.record_replays || !replayed)
    }

    /// Will the request be copied?
    pub(crate) fn is_copied(&self) -> bool {
        !self.storms.is_empty() || !self.duplicates.is_empty()
    }

    /// The value of the `squall-fault` header: rules that touched the exchange so far.
    pub(crate) fn fault_header(&self) -> Option<String> {
        let ids: SmallVec<[&str; 2]> =
            self.plan.touched(&self.live).into_iter().map(|rule| &*self.live.ids[rule]).collect();
        (!ids.is_empty()).then(|| ids.join(", "))
    }

    pub(crate) fn is_touched(&self) -> bool {
        !self.plan.touched(&self.live).is_empty()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Where an exchange takes place.
pub(crate) struct Place<'a> {
    pub(crate) edge: &'a str,
    pub(crate) connection: u64,
    pub(crate) client: &'a str,
    /// `host:port` of the upstream it is meant for.
    pub(crate) upstream: &'a str,
}

impl Identity {
    /// What the rules are asked about.
    pub(crate) fn facts<'a>(
        &'a self,
        request: &'a RequestHeader,
        place: &Place<'a>,
        header: &'a dyn Fn(&str) -> Option<&'a str>,
    ) -> Facts<'a> {
        Facts {
            edge: place.edge,
            method: request.method.as_str(),
            authority: authority(request),
            path: request.uri.path(),
            query: request.uri.query().unwrap_or_default(),
            header,
            operation: &self.op,
            attempt: self.attempt,
            session: &self.session,
            connection: place.connection,
            client: place.client,
            upstream: place.upstream,
        }
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    text(headers, CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/grpc"))
}

/// Host and port as the client named them.
pub(crate) fn authority(request: &RequestHeader) -> &str {
    let of_uri = request.uri.authority().map(http::uri::Authority::as_str);
    of_uri.or_else(|| text(&request.headers, HOST)).unwrap_or_default()
}

pub(crate) fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            open.abort(&self.shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::rules::{Policy, Rules};
    use crate::shared::{Edge, Parts};
    use crate::{Config, EdgeConfig, Upstream};

    fn shared() -> Arc<Shared> {
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let upstream = Upstream::resolve("http://127.0.0.1:1").expect("an upstream");
        let edge =
            EdgeConfig { name: "default".into(), listen: addr, tls: false, upstream, others: Vec::new() };
        let config = Config::new(vec![edge.clone()]);
        let at_work = Edge::new(&edge, &config, addr);
        let (ledger, _) = Ledger::start(None).expect("a ledger");
        let rules = Arc::new(Rules::new(Vec::new(), 0, Policy::default()));
        Arc::new(Shared::new(config, Parts { edges: vec![at_work], rules, ledger, recorder: None }))
    }

    /// A hook that panics takes its task with it, and pingora's own bookkeeping; the exchange is dropped all the same.
    #[test]
    fn a_panic_loses_no_exchange() {
        let shared = shared();
        for (tries, rows) in [(0, (1, 0, 0)), (1, (1, 1, 1))] {
            let before = shared.totals.snapshot().edges.remove(0);
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut exchange = Exchange::new(shared.clone());
                let request = RequestHeader::build("GET", b"/", None).expect("a request");
                let ctl = Arc::new(ConnCtl::new(1, 0, ([127, 0, 0, 1], 1).into()));
                exchange.begin(&request, Arrival { ctl, http2: false, bodyless: true });
                exchange.get().expect("it began").tries = tries;
                assert_eq!(shared.totals.in_flight(), 1);
                panic!("a hook stumbles");
            }));
            assert!(panicked.is_err());
            let after = shared.totals.snapshot();
            assert_eq!(after.in_flight, 0);
            let edge = &after.edges[0];
            let grown = (
                edge.seen - before.seen,
                edge.forwarded - before.forwarded,
                edge.ambiguous - before.ambiguous,
            );
            assert_eq!(grown, rows);
            assert_eq!(edge.aborted + edge.upstream_failed, edge.seen);
        }
    }
}
