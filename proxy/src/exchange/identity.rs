//! Whose request is it, and which operation of theirs?

use std::borrow::Cow;

use captures::SessionId;
use captures::session_key::Marks;
use http::{HeaderMap, HeaderName};

use super::sessions::{Sessions, Who, hash};

/// What an exchange is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// What rules know the session by: `squall-session` without its run tag, else the number of [`Who::choice`].
    pub(crate) session: String,
    pub(crate) who: Who,
    /// A replay says itself which session it is.
    is_stranger: bool,
    /// Which key named the session, in their order of preference.
    pub(crate) place: usize,
    /// Operation: `squall-op`, else the idempotency key, else the trace, else session, method, path and turn. Written as
    /// [`Identity::told_op`].
    pub(crate) op: String,
    /// The operation as a number; only a replay's is one.
    pub(crate) op_number: Option<u64>,
    /// From 1: `squall-attempt`, else counted where the client named the operation.
    pub(crate) attempt: u32,
}

/// Who asks, and for what, as far as naming them goes.
pub(crate) struct Asked<'a> {
    pub(crate) edge: usize,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    /// The client's address.
    pub(crate) client: &'a str,
    pub(crate) connection: u64,
    /// Somebody will ask for the operation; else the work of naming it is spared.
    pub(crate) names_operation: bool,
}

impl Marks for Asked<'_> {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.get_all(name).into_iter().map(http::HeaderValue::as_bytes)
    }

    fn query(&self) -> Option<&str> {
        self.query
    }

    fn address(&self) -> Option<&str> {
        Some(self.client)
    }

    fn connection(&self) -> Option<u64> {
        Some(self.connection)
    }

    fn session(&self) -> Option<SessionId> {
        None
    }
}

impl Identity {
    /// The session that a replay says it is.
    pub(crate) fn session_said(headers: &HeaderMap) -> Option<&str> {
        if bears_ours(headers) { headers.get(SESSION)?.to_str().ok() } else { None }
    }

    /// Names a request.
    pub(crate) fn of(asked: &Asked<'_>, sessions: &Sessions) -> Identity {
        let text = |name: &HeaderName| asked.headers.get(name).and_then(|value| value.to_str().ok());
        // most clients are strangers: one look spares them four
        let marked = bears_ours(asked.headers);
        let ours = |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok());
        let ours = |name: &str| if marked { ours(name) } else { None };
        let replayed = ours(SESSION).map(fault_rules::select::session_key);
        let (session, (who, place)) = match replayed {
            Some(key) => {
                let number = hash(&[key.as_bytes()]);
                (Cow::Borrowed(key), (Who { id: SessionId(number), choice: number }, 0))
            }
            None => {
                let (who, place) = sessions.of_request(asked);
                (Cow::Owned(itoa::Buffer::new().format(who.choice).to_owned()), (who, place))
            }
        };
        let op_number = ours(OP).filter(|op| op.len() == 16).and_then(|op| u64::from_str_radix(op, 16).ok());
        let foreign = text(&IDEMPOTENCY_KEY).or_else(|| text(&TRACEPARENT));
        let op = match ours(OP).or(foreign) {
            Some(name) => name.to_owned(),
            None if !asked.names_operation => String::new(),
            None => {
                let turn = sessions.turn(who.id, asked.method, asked.path);
                let mut turn_text = itoa::Buffer::new();
                [&session, asked.method, asked.path, turn_text.format(turn)].join(" ")
            }
        };
        let said = ours(ATTEMPT).and_then(|attempt| attempt.parse().ok());
        let counts = asked.names_operation && ours(OP).is_none() && foreign.is_some();
        let attempt = match said {
            Some(attempt) => attempt,
            None if counts => sessions.attempt(&op, asked),
            None => 1,
        };
        let is_stranger = replayed.is_none();
        Identity { session: session.into_owned(), who, is_stranger, place, op, op_number, attempt }
    }

    /// The session as it is written: a stranger's by its recorded number.
    pub(crate) fn told_session(&self) -> String {
        if self.is_stranger { self.who.id.0.to_string() } else { self.session.clone() }
    }

    /// The operation as it is written: without what a stranger's session was chosen by.
    pub(crate) fn told_op(&self) -> String {
        match self.op.strip_prefix(&self.session).filter(|_| self.is_stranger) {
            Some(rest) => format!("{}{rest}", self.who.id.0),
            None => self.op.clone(),
        }
    }
}

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

pub(crate) const SESSION: &str = "squall-session";
pub(crate) const OP: &str = "squall-op";
pub(crate) const ATTEMPT: &str = "squall-attempt";
pub(crate) const FAULT: &str = "squall-fault";
pub(crate) const BELOW: &str = "squall-fault-below";
pub(crate) const ERROR: &str = "squall-error";

/// Ours: never forwarded unless asked, never recorded.
pub(crate) const SQUALL_HEADERS: [&str; 6] = [SESSION, OP, ATTEMPT, FAULT, BELOW, ERROR];

/// Does a message have a header of ours? One look at the names instead of a search for each.
pub(crate) fn bears_ours(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("squall-"))
}

/// One of ours.
pub(crate) fn is_squall_header(name: &str) -> bool {
    SQUALL_HEADERS.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("value")))
            .collect()
    }

    fn identify(sessions: &Sessions, connection: u64, fields: &[(&'static str, &str)]) -> Identity {
        let headers = headers(fields);
        Identity::of(
            &Asked {
                edge: 0,
                headers: &headers,
                method: "GET",
                path: "/a",
                query: None,
                client: "10.0.0.1",
                connection,
                names_operation: true,
            },
            sessions,
        )
    }

    #[test]
    fn a_replay_names_itself_and_the_run_tag_does_not_count() {
        let sessions = Sessions::new(Vec::new(), &[1; 32]);
        let of_run = |run: &str| {
            let session = format!("{run}-2a-7");
            identify(&sessions, 1, &[(SESSION, &session), (OP, "00000000000000ff"), (ATTEMPT, "2")])
        };
        let first = of_run("0badcafe");
        assert_eq!((first.session.as_str(), first.op_number, first.attempt), ("2a-7", Some(255), 2));
        assert_eq!(of_run("12345678"), first);
    }

    #[test]
    fn cookies_set_by_an_answer_lead_back_to_its_session() {
        let sessions = Sessions::new(Vec::new(), &[1; 32]);
        let first = identify(&sessions, 1, &[]);
        sessions.learn(&first, &headers(&[("set-cookie", "sid=0123456789; Path=/")]));
        let elsewhere = identify(&sessions, 2, &[("cookie", "lang=de; sid=0123456789")]);
        assert_eq!(elsewhere.who.id, first.who.id);
        assert_ne!(identify(&sessions, 2, &[]).who.id, first.who.id);
    }

    #[test]
    fn a_session_cookie_from_before_joins_connections() {
        let sessions = Sessions::new(Vec::new(), &[1; 32]);
        let cookie = [("cookie", "theme=dark; PHPSESSID=abcdefgh")];
        assert_eq!(identify(&sessions, 1, &cookie).who.id, identify(&sessions, 2, &cookie).who.id);
    }

    #[test]
    fn the_same_request_again_is_another_operation() {
        let sessions = Sessions::new(Vec::new(), &[1; 32]);
        let first = identify(&sessions, 1, &[]);
        let second = identify(&sessions, 1, &[]);
        assert_ne!(first.op, second.op);
        assert!(first.op.starts_with(&format!("{} GET /a", first.session)));
        assert!(first.told_op().starts_with(&format!("{} GET /a", first.who.id.0)), "{}", first.told_op());
        let keyed = [("idempotency-key", "k-1")];
        assert_eq!(identify(&sessions, 1, &keyed).op, identify(&sessions, 2, &keyed).op);
    }

    #[test]
    fn attempts_of_an_operation_that_the_client_named_are_counted() {
        let sessions = Sessions::new(Vec::new(), &[1; 32]);
        let attempt = |edge: usize, path: &str, fields: &[(&'static str, &str)]| {
            let headers = headers(fields);
            let (method, query, client) = ("POST", None, "10.0.0.1");
            let asked = Asked {
                edge,
                headers: &headers,
                method,
                path,
                query,
                client,
                connection: 1,
                names_operation: true,
            };
            Identity::of(&asked, &sessions).attempt
        };
        let key = [("idempotency-key", "k-1")];
        assert_eq!([1, 2, 3].map(|_| attempt(0, "/pay", &key)), [1, 2, 3]);
        assert_eq!((attempt(0, "/pay", &[("idempotency-key", "k-2")]), attempt(0, "/refund", &key)), (1, 1));
        assert_eq!(attempt(1, "/pay", &key), 1, "the same request behind it is no repeat");
        let trace = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
        assert_eq!([1, 2].map(|_| attempt(0, "/pay", &trace)), [1, 2]);
        assert_eq!([1, 2].map(|_| attempt(0, "/pay", &[])), [1, 1], "without a name each is an operation");
        let of_replay = [(OP, "00000000000000ff"), ("idempotency-key", "k-1")];
        assert_eq!([1, 2].map(|_| attempt(0, "/pay", &of_replay)), [1, 1], "a replay says it itself");
        assert_eq!(attempt(0, "/pay", &[("idempotency-key", "k-1"), (ATTEMPT, "9")]), 9);
    }
}
