//! Before the upstream is connected to: who is refused, who is held, who is slow to connect.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fault_rules::Action;
use fault_rules::action::{End, OutageMode, Point};
use fault_rules::delay::At;
use tokio::net::TcpStream;

use super::asked::What;
use super::books::Ending;
use super::connection::Connection;
use super::{shapes, wire};
use crate::exchange::ROOM_PAUSE;
use crate::limits::{Met, is_shortage};
use crate::rules::Told;
use crate::timer::sleep_until;

/// What the rules in force say of a client that is not connected yet.
#[derive(Default)]
enum Before {
    #[default]
    Go,
    /// Nothing happens until then; `endless`: by this part, until somebody lets go.
    Wait { until: Option<Instant>, endless: Option<usize> },
    /// It ends, by this part.
    End { tag: usize, refused: bool },
}

/// Why a wait is over.
enum Woken {
    AskAgain,
    ClientGone,
}

impl Connection {
    /// Brings the client to the upstream. `None`: it ended before that, and is settled.
    pub(super) async fn connect(&mut self, client: TcpStream) -> Option<(TcpStream, TcpStream)> {
        loop {
            if self.door.is_closed() {
                self.settle(&Ending::Aborted);
                return None;
            }
            let now = Instant::now();
            self.review(now);
            match self.shielded(|this| this.before(now)) {
                Before::Go => break,
                Before::End { tag, refused } => {
                    self.refuse(client, tag, refused, now);
                    return None;
                }
                Before::Wait { until, endless } => {
                    match self.wait_before(&client, until, endless.is_some()).await {
                        Woken::AskAgain => {}
                        Woken::ClientGone => {
                            match endless {
                                Some(tag) => self.refuse(client, tag, false, Instant::now()),
                                None => self.settle(&Ending::ClientGone),
                            }
                            return None;
                        }
                    }
                }
            }
        }
        self.shielded(Connection::tell_connects);
        let begun = Instant::now();
        let dialled = self.dial(&client).await;
        match &dialled {
            Ok(_) | Err(Ending::Unreachable) => self.tell_guards(Told::Answered(begun.elapsed())),
            Err(_) => {}
        }
        match dialled {
            Ok(upstream) if wire::prepare(&upstream).is_ok() => {
                self.connected();
                Some((client, upstream))
            }
            Ok(_) | Err(Ending::Unreachable) => {
                self.settle(&Ending::Unreachable);
                wire::reset(client);
                None
            }
            Err(ending) => {
                self.settle(&ending);
                None
            }
        }
    }

    /// The first rule that ends it decides; else the longest silence; else the slow connect.
    fn before(&self, now: Instant) -> Before {
        let run_now = self.shared.rules.run_now();
        let (mut delay, mut wake, mut endless) = (Duration::ZERO, None::<Instant>, None);
        for part in &self.parts.list {
            let end = |refused| Before::End { tag: part.tag, refused };
            let action = match &part.wish.what {
                What::Delay(lag) => {
                    if lag.at() == At::Connect {
                        delay += lag.draw(0, run_now);
                    }
                    continue;
                }
                What::Detour(_) => continue,
                What::Fault(action) => action,
            };
            match action {
                Action::Reset(reset) if reset.at == Point::BeforeHeaders => return end(true),
                Action::Reset(reset) => {
                    if let Point::AfterTime(time) = reset.at {
                        if part.since + time <= now {
                            return end(true);
                        }
                        wake = wake.into_iter().chain([part.since + time]).min();
                    }
                }
                Action::Outage(outage) if outage.mode != OutageMode::Blackhole => return end(true),
                Action::Outage(_) => endless = Some(part.tag),
                Action::Blackhole(hole) if part.wish.way.is_none() => match hole.hold {
                    None => endless = Some(part.tag),
                    Some(hold) if part.since + hold <= now => return end(false),
                    Some(hold) => return Before::Wait { until: Some(part.since + hold), endless: None },
                },
                _ => {}
            }
        }
        if endless.is_some() {
            return Before::Wait { until: wake, endless };
        }
        let until = self.start + delay;
        if now < until {
            Before::Wait { until: Some(wake.map_or(until, |wake| wake.min(until))), endless: None }
        } else {
            Before::Go
        }
    }

    /// Ends it as the part says.
    fn refuse(&mut self, client: TcpStream, tag: usize, refused: bool, now: Instant) {
        let rule = self.rule(tag);
        let end = self.parts.get(tag).map_or(End::Reset, |part| match &part.wish.what {
            What::Fault(action) => shapes::end_of(action),
            _ => End::Reset,
        });
        let age = self.age(tag, now);
        self.shielded(|this| this.parts.tell(tag, age));
        self.settle(&if refused { Ending::Refused(rule) } else { Ending::Dropped(rule) });
        match end {
            End::Reset => wire::reset(client),
            End::Close => drop(client),
        }
    }

    async fn wait_before(&mut self, client: &TcpStream, until: Option<Instant>, endless: bool) -> Woken {
        let until = until.into_iter().chain(self.turn).min();
        let gone = async {
            // a client that has closed its sending side may still wait for an answer; one that is never answered
            // has left
            if endless { wire::has_left(client).await } else { wire::was_reset(client).await }
        };
        let time = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.changes.changed() => Woken::AskAgain,
            () = time => Woken::AskAgain,
            () = gone => Woken::ClientGone,
        }
    }

    /// Slow connects have done what they do.
    fn tell_connects(&mut self) {
        let run_now = self.shared.rules.run_now();
        let is_connect = |what: &What| matches!(what, What::Delay(lag) if lag.at() == At::Connect);
        let lags = self.parts.list.iter().filter(|part| is_connect(&part.wish.what));
        let asked = lags
            .filter_map(|part| match &part.wish.what {
                What::Delay(lag) => Some(lag.draw(0, run_now)),
                _ => None,
            })
            .sum();
        for at in 0..self.parts.list.len() {
            let part = &self.parts.list[at];
            if let What::Delay(lag) = &part.wish.what
                && lag.at() == At::Connect
            {
                let (tag, drawn) = (part.tag, lag.draw(0, run_now));
                self.parts.drew(tag, drawn);
                self.parts.waited(tag, asked, self.start.elapsed());
            }
        }
    }

    async fn dial(&self, client: &TcpStream) -> Result<TcpStream, Ending> {
        let target =
            self.shared.rules.shielded(|| self.target()).unwrap_or_else(|| self.door.upstream.clone());
        let connect = async {
            loop {
                match TcpStream::connect(&*target).await {
                    Err(error) if is_shortage(&error) => {
                        self.shared.meets.note(Met::OpenFiles);
                        tokio::time::sleep(ROOM_PAUSE).await;
                    }
                    connected => return connected,
                }
            }
        };
        let dialled = tokio::time::timeout(self.shared.config.connect_timeout, connect);
        tokio::select! {
            biased;
            dialled = dialled => match dialled {
                Ok(Ok(upstream)) => Ok(upstream),
                Ok(Err(error)) => {
                    tracing::debug!(%error, upstream = &*target, "no connection to the upstream");
                    Err(Ending::Unreachable)
                }
                Err(_) => Err(Ending::Unreachable),
            },
            () = wire::was_reset(client) => Err(Ending::ClientGone),
            () = self.door.closed() => Err(Ending::Aborted),
        }
    }

    /// Where a failover leads; `None`: to the edge's own upstream.
    fn target(&self) -> Option<Arc<str>> {
        let live = self.shared.rules.live();
        for part in &self.parts.list {
            let What::Detour(failover) = &part.wish.what else { continue };
            let Some(group) = live.set.group(&failover.to).filter(|group| !group.members.is_empty()) else {
                continue;
            };
            let at = part.wish.key as usize % group.members.len();
            return Some(Arc::from(group.members[at].as_str()));
        }
        None
    }
}
