//! The judgement of a rehearsal: a few sessions were replayed alone, and what came back tells whether the whole run
//! would be load or only noise. Pure: it is given what was recorded and what came.

use std::collections::BTreeMap;

use crate::report::text::number;
use crate::tally::Failure;

/// A rehearsed step.
#[derive(Clone, Debug)]
pub(crate) struct Step<'a> {
    /// As reports name it.
    pub(crate) route: &'a str,
    /// The recorded status; 0: not known.
    pub(crate) recorded: u16,
    pub(crate) got: Got,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// The target answered.
    Status(u16),
    /// A rule of ours made or touched the answer (`squall-fault`): nothing is known of the target.
    Injected,
    /// No whole answer.
    Failed(Failure),
}

/// What the advice depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// URL of the target.
    pub(crate) target: &'a str,
    pub(crate) tls: bool,
    /// Whether a users file was given.
    pub(crate) users: bool,
    pub(crate) keep_host: bool,
    /// Routes of logins with passwords that the capture does not know, and in how many sessions.
    pub(crate) logins: &'a BTreeMap<String, u64>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    Go,
    /// The run may begin, and the user should know these words.
    GoWith(String),
    /// The run would be noise; the words say why, and what to do.
    Stop(String),
}

/// Judges rehearsed sessions. The run is stopped when at least half of what can be compared differs from the
/// recording, in at least half of the sessions, and one cause that can be named makes up at least half of that.
///
/// Statuses differ when their class does (2xx, 3xx …); 2xx against 3xx counts half, as caches and redirects change
/// with the day.
pub(crate) fn judge(sessions: &[Vec<Step<'_>>], setting: &Setting<'_>) -> Advice {
    let all: Vec<Vec<Compared<'_, '_>>> =
        sessions.iter().map(|steps| steps.iter().filter_map(Compared::new).collect()).collect();
    let comparable: Vec<_> = all.iter().filter(|steps| !steps.is_empty()).collect();
    let differing = comparable.iter().filter(|steps| steps.iter().any(|step| step.halves > 0)).count();
    let steps: Vec<&Compared<'_, '_>> = comparable.iter().copied().flatten().collect();
    let halves: usize = steps.iter().map(|step| step.halves).sum();
    if steps.is_empty() || halves < steps.len() || differing * 2 < comparable.len() {
        return Advice::Go;
    }
    let found = Found { steps: &steps, sessions: comparable.len(), halves };
    match found.dominant() {
        Some(cause) => Advice::Stop(found.stop(cause, setting)),
        None => Advice::GoWith(format!("rehearsal: {}, for no single reason", found.summary(None))),
    }
}

/// Says which logins cannot work: what a user typed is not in a capture, only a pseudonym of it.
pub(crate) fn unknown_passwords(logins: &BTreeMap<String, u64>) -> Option<String> {
    let (route, sessions) = logins.iter().max_by_key(|(_, sessions)| **sessions)?;
    let more = if logins.len() > 1 { ", and other routes," } else { "" };
    Some(format!(
        "{route}{more} sends a password that a user typed, in {} sessions: the capture holds a pseudonym of it only, and \
         no sign-up in these sessions made an account with it. Give users the target knows with --users FILE and put \
         their passwords in place with --set, or record sessions that sign up",
        number(*sessions)
    ))
}

/// A step whose outcome says something about the target.
struct Compared<'s, 'a> {
    step: &'s Step<'a>,
    /// By how much it differs from the recording: 0, 1 (mildly) or 2 halves.
    halves: usize,
    cause: Option<Cause>,
}

impl<'s, 'a> Compared<'s, 'a> {
    fn new(step: &'s Step<'a>) -> Option<Compared<'s, 'a>> {
        if step.recorded == 0 {
            return None;
        }
        let (halves, cause) = match step.got {
            Got::Injected | Got::Failed(Failure::Aborted) => return None,
            Got::Failed(failure) => (2, Cause::of_failure(failure)),
            Got::Status(status) => {
                let halves = match (step.recorded / 100, status / 100) {
                    (recorded, got) if recorded == got => 0,
                    (2, 3) | (3, 2) => 1,
                    _ => 2,
                };
                (halves, Cause::of_status(status))
            }
        };
        Some(Compared { step, halves, cause: cause.filter(|_| halves > 0) })
    }
}

/// Why a target may answer otherwise than it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Login,
    NotFound,
    BadRequest,
    WrongHost,
    State,
    Limited,
    Redirected,
    Broken,
    Gateway,
    NothingListens,
    Tls,
    Silent,
    Closes,
}

impl Cause {
    fn of_status(status: u16) -> Option<Cause> {
        Some(match status {
            401 | 403 | 407 => Cause::Login,
            404 | 405 | 410 => Cause::NotFound,
            421 => Cause::WrongHost,
            409 | 412 | 422 | 428 => Cause::State,
            429 => Cause::Limited,
            400..=499 => Cause::BadRequest,
            502..=504 => Cause::Gateway,
            500..=599 => Cause::Broken,
            300..=399 => Cause::Redirected,
            _ => return None,
        })
    }

    fn of_failure(failure: Failure) -> Option<Cause> {
        Some(match failure {
            Failure::Connect => Cause::NothingListens,
            Failure::Tls => Cause::Tls,
            Failure::Timeout => Cause::Silent,
            Failure::Reset | Failure::Truncated | Failure::Protocol => Cause::Closes,
            Failure::Aborted => return None,
        })
    }

    /// What it means and what to do about it.
    fn advice(self, setting: &Setting<'_>) -> String {
        let target = setting.target;
        let host = if setting.keep_host {
            "send the target's own host (leave --keep-host away)"
        } else {
            "send the recorded host (--keep-host)"
        };
        match (self, setting.users) {
            (Cause::Login, false) if !setting.logins.is_empty() => {
                unknown_passwords(setting.logins).unwrap_or_default()
            }
            (Cause::Login, false) => {
                "the target wants a login that the recording does not bring along: give users it knows with --users \
                 FILE, or record sessions that sign up or log in themselves"
                    .to_owned()
            }
            (Cause::Login, true) => {
                "the target turns the users away: are those of --users known to it, and does --set put their \
                 columns where the login reads them?"
                    .to_owned()
            }
            (Cause::NotFound, _) => format!(
                "{target} does not have the recorded paths: name the target that was recorded, or one with the same \
                 routes and data; if it tells its sites apart by host, {host}"
            ),
            (Cause::WrongHost, _) => format!("the target does not answer for this host: {host}"),
            (Cause::BadRequest, _) => {
                let tls = if setting.tls { "" } else { "; if it speaks TLS there, name it as https://" };
                format!("the target does not take the requests as they are: {host}{tls}")
            }
            (Cause::State, _) => {
                "the target's data is not what it was (a name is taken, an item is gone): set it back to the state \
                 at the beginning of the recording, or give users of its own with --users FILE"
                    .to_owned()
            }
            (Cause::Limited, _) => {
                "the target limits even these few sessions: lift its limit for this machine, or connect from more \
                 addresses (--bind)"
                    .to_owned()
            }
            (Cause::Redirected, _) => {
                "the target sends the clients elsewhere, as to a login page or to https: name the URL it sends them \
                 to as --target, or give users with --users FILE"
                    .to_owned()
            }
            (Cause::Broken, _) => {
                "the target is broken before there is any load: look at its log first".to_owned()
            }
            (Cause::Gateway, _) => {
                "what stands at the target has nothing healthy behind it: start the service behind it first".to_owned()
            }
            (Cause::NothingListens, _) => {
                format!("nothing takes connections at {target}: start it, or name another --target")
            }
            (Cause::Tls, _) => format!(
                "TLS with {target} fails: if its certificate is its own, say -k; if it speaks no TLS, name it as \
                 http://"
            ),
            (Cause::Silent, _) => format!(
                "{target} takes requests and does not answer in time: look at it first, or give it longer (--timeout)"
            ),
            (Cause::Closes, _) => {
                let tls = if setting.tls { "" } else { " (if it speaks TLS there, name it as https://)" };
                format!("{target} closes connections without an answer that can be read{tls}: look at its log first")
            }
        }
    }
}

/// What differs.
struct Found<'c, 's, 'a> {
    steps: &'c [&'c Compared<'s, 'a>],
    sessions: usize,
    halves: usize,
}

impl Found<'_, '_, '_> {
    /// The cause with the most weight, if that is at least half of all.
    fn dominant(&self) -> Option<Cause> {
        let weight = |cause| {
            let same = self.steps.iter().filter(|step| step.cause == Some(cause));
            same.map(|step| step.halves).sum::<usize>()
        };
        let causes = self.steps.iter().filter_map(|step| step.cause);
        causes.max_by_key(|&cause| weight(cause)).filter(|&cause| weight(cause) * 2 >= self.halves)
    }

    fn stop(&self, cause: Cause, setting: &Setting<'_>) -> String {
        let summary = self.summary(Some(cause));
        let advice = cause.advice(setting);
        format!(
            "the rehearsal went unlike the recording: {summary}. Most likely {advice} (--no-rehearsal skips this)"
        )
    }

    /// How many differ, with an example, of `cause` if there is one.
    fn summary(&self, cause: Option<Cause>) -> String {
        let mut different = self.steps.iter().filter(|step| step.halves > 0);
        let count = different.clone().count();
        let example = different.find(|step| cause.is_none() || step.cause == cause);
        let example = example.map_or_else(String::new, |example| {
            let Step { route, recorded, got } = example.step;
            format!(" ({route}: recorded {recorded}, now {})", outcome(*got))
        });
        let plural = if self.sessions == 1 { "session" } else { "sessions" };
        format!(
            "{} of {} answers to {} {plural} differ{example}",
            number(count as u64),
            number(self.steps.len() as u64),
            self.sessions
        )
    }
}

fn outcome(got: Got) -> String {
    let words = match got {
        Got::Status(status) => return status.to_string(),
        Got::Injected => "injected",
        Got::Failed(Failure::Connect) => "no connection",
        Got::Failed(Failure::Tls) => "no TLS",
        Got::Failed(Failure::Reset) => "a closed connection",
        Got::Failed(Failure::Truncated) => "half an answer",
        Got::Failed(Failure::Timeout) => "no answer in time",
        Got::Failed(Failure::Protocol) => "no valid HTTP",
        Got::Failed(Failure::Aborted) => "given up",
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    static NO_LOGINS: BTreeMap<String, u64> = BTreeMap::new();
    const SETTING: Setting<'_> = Setting {
        target: "http://127.0.0.1:9",
        tls: false,
        users: false,
        keep_host: false,
        logins: &NO_LOGINS,
    };

    /// Sessions are separated by `|`, steps by spaces; `200>401` is recorded and got, letters are failures.
    fn sessions(text: &str) -> Vec<Vec<Step<'static>>> {
        let step = |text: &str| {
            let (recorded, got) = text.split_once('>').expect("recorded>got");
            let got = match got {
                "i" => Got::Injected,
                "connect" => Got::Failed(Failure::Connect),
                "tls" => Got::Failed(Failure::Tls),
                "reset" => Got::Failed(Failure::Reset),
                "timeout" => Got::Failed(Failure::Timeout),
                "protocol" => Got::Failed(Failure::Protocol),
                "aborted" => Got::Failed(Failure::Aborted),
                status => Got::Status(status.parse().expect("a status")),
            };
            Step { route: "GET /cart", recorded: recorded.parse().expect("a status"), got }
        };
        text.split('|').map(|steps| steps.split_whitespace().map(step).collect()).collect()
    }

    fn stops(text: &str, words: &[&str]) {
        stops_with(text, &SETTING, words);
    }

    fn stops_with(text: &str, setting: &Setting<'_>, words: &[&str]) {
        let Advice::Stop(found) = judge(&sessions(text), setting) else { panic!("{text} goes on") };
        for word in words.iter().chain(&["--no-rehearsal"]) {
            assert!(found.contains(word), "{text}: expected `{word}` in: {found}");
        }
    }

    #[test]
    fn a_target_like_the_recorded_one_is_loaded() {
        for text in [
            "",
            "||",
            "200>200 201>200 404>404 304>304",
            "401>403 401>401 200>200",                 // the same class
            "200>401 200>200 200>200",                 // a third
            "0>401 0>500 0>connect",                   // the recording does not know
            "200>i 200>i 200>200",                     // faults of ours
            "200>aborted 200>aborted",                 // the user stopped it
            "304>200 304>200",                         // mild, and no complaint
            "200>302 200>302 200>200",                 // mild
            "500>200 503>200",                         // better than recorded
            "200>404 200>404 200>404|200>200|200>200", // one session of three
        ] {
            let advice = judge(&sessions(text), &SETTING);
            assert!(!matches!(advice, Advice::Stop(_)), "{text}: {advice:?}");
        }
    }

    #[test]
    fn a_dominant_cause_stops_and_says_what_to_do() {
        stops(
            "200>401 200>401|201>403",
            &["3 of 3 answers to 2 sessions", "GET /cart: recorded 200, now 401", "--users"],
        );
        stops("200>404 200>404 200>200", &["2 of 3", "1 session ", "http://127.0.0.1:9", "--keep-host"]);
        stops("200>421", &["does not answer for this host", "--keep-host"]);
        stops("200>400", &["(--keep-host)", "https://"]);
        stops("201>409 200>422", &["data"]);
        stops("200>429", &["limits"]);
        stops("200>302 200>302", &["https", "--target"]);
        stops("200>500 200>501", &["broken before there is any load"]);
        stops("200>503", &["nothing healthy behind"]);
        stops("200>connect", &["nothing takes connections at http://127.0.0.1:9", "now no connection"]);
        stops("200>tls", &["-k"]);
        stops("200>timeout", &["--timeout"]);
        stops("200>reset 200>protocol", &["https://"]);
        stops("0>200 0>200 200>i 200>401 200>200", &["1 of 2", "--users"]);
        stops("200>401 200>401 200>500", &["recorded 200, now 401", "--users"]);
        stops("404>500 404>500", &["broken"]);
    }

    #[test]
    fn advice_depends_on_what_was_given() {
        let given =
            Setting { target: "https://shop", tls: true, users: true, keep_host: true, logins: &NO_LOGINS };
        stops_with("200>401", &given, &["those of --users", "--set"]);
        stops_with("200>421", &given, &["leave --keep-host away"]);
        let Advice::Stop(words) = judge(&sessions("200>400"), &given) else { panic!("goes on") };
        assert!(!words.contains("https://"), "{words}");
    }

    #[test]
    fn a_password_that_nobody_knows_is_named() {
        let logins = BTreeMap::from([("POST /login".to_owned(), 12), ("POST /admin".to_owned(), 1)]);
        let setting = Setting { logins: &logins, ..SETTING };
        let words = ["POST /login, and other routes, sends a password", "12 sessions", "--users", "sign up"];
        stops_with("200>401 200>401", &setting, &words);
        assert_eq!(unknown_passwords(&NO_LOGINS), None);
    }

    #[test]
    fn without_a_cause_it_goes_on_with_a_word() {
        for text in ["200>401 200>404 200>500", "500>200 500>200"] {
            let advice = judge(&sessions(text), &SETTING);
            assert!(
                matches!(&advice, Advice::GoWith(words) if words.contains("no single reason")),
                "{advice:?}"
            );
        }
    }
}
