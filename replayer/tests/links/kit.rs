//! A service on a socket that speaks HTTP/1.1 and HTTP/2, a client that records what it does, and what a replay of
//! that must come to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use captures::exchange::{Request, Response};
use captures::links::{LinkSet, Printer, mine};
use captures::{Body, Exchange, Headers, Redactor, SessionId};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use replayer::options::{Http, LinkChoice, Options, Speed};
use replayer::{Progress, Report};
use tempfile::TempDir;

use crate::support;

/// A request as a service sees it.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) path: Vec<String>,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// A system with state.
pub(crate) trait Service: Send + Sync + 'static {
    fn answer(&self, ask: &Ask) -> Reply;
}

impl Ask {
    fn read(head: &http::request::Parts, body: Vec<u8>) -> Ask {
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let headers: BTreeMap<String, String> =
            head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let cookies = headers.get("cookie").map(String::as_str).unwrap_or_default();
        let cookies = cookies.split("; ").filter_map(|pair| pair.split_once('='));
        Ask {
            method: head.method.to_string(),
            path: head.uri.path().split('/').skip(1).map(str::to_owned).collect(),
            query: fields(head.uri.query().unwrap_or_default()),
            cookies: cookies.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            headers,
            body,
        }
    }

    pub(crate) fn what(&self) -> (&str, Vec<&str>) {
        (&self.method, self.path.iter().map(String::as_str).collect())
    }

    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        fields(std::str::from_utf8(&self.body).unwrap_or_default())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn cookie(&self, name: &str) -> &str {
        self.cookies.get(name).map(String::as_str).unwrap_or_default()
    }
}

impl Reply {
    pub(crate) fn status(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Reply {
        Reply { body: value.to_string(), ..Reply::status(status) }.with("content-type", "application/json")
    }

    pub(crate) fn page(body: String) -> Reply {
        Reply { body, ..Reply::status(200) }.with("content-type", "text/html; charset=utf-8")
    }

    pub(crate) fn see(place: String) -> Reply {
        Reply::status(303).with("location", &place)
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Reply {
        self.headers.push((name, value.to_owned()));
        self
    }
}

fn fields(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// Names that nobody guesses, never the same in two runs.
pub(crate) fn fresh(kind: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let hash = |salt: u64| (n ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(std::process::id());
    format!("{kind}{:016x}{:08x}", hash(0), hash(0x5bd1_e995) >> 32)
}

/// As [`fresh`], in the shape of a UUID.
pub(crate) fn uuid() -> String {
    let digits = format!("{}{}", fresh(""), fresh(""));
    let part = |range: std::ops::Range<usize>| digits[range].to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// Opens a service on a free port.
pub(crate) fn open(service: impl Service) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (address, service) = (listener.local_addr().unwrap(), Arc::new(service));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(accept(listener, service));
    });
    address
}

async fn accept(listener: std::net::TcpListener, service: Arc<impl Service>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((socket, _)) = listener.accept().await {
        let service = Arc::clone(&service);
        let handle = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let service = Arc::clone(&service);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
                let reply = service.answer(&Ask::read(&head, body));
                let mut response = hyper::Response::builder().status(reply.status);
                for (name, value) in reply.headers {
                    response = response.header(name, value);
                }
                Ok::<_, Infallible>(response.body(Full::new(Bytes::from(reply.body))).unwrap())
            }
        });
        tokio::spawn(async move {
            // a client that leaves early is no trouble of ours
            let _ =
                auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), handle).await;
        });
    }
}

/// A user who notes all they do.
pub(crate) struct User {
    address: SocketAddr,
    session: u64,
    cookies: BTreeMap<String, String>,
    pub(crate) exchanges: Vec<Exchange>,
}

impl User {
    pub(crate) fn new(address: SocketAddr, session: u64) -> User {
        User { address, session, cookies: BTreeMap::new(), exchanges: Vec::new() }
    }

    /// Sends a request and notes it with its answer, which comes back.
    #[track_caller]
    pub(crate) fn send(&mut self, what: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let (method, target) = what.split_once(' ').unwrap();
        let mut sent: Headers = [("host", "service.test")].into_iter().collect();
        headers.iter().for_each(|(name, value)| sent.push(name, value));
        if !self.cookies.is_empty() {
            let pairs: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            sent.push("cookie", pairs.join("; "));
        }
        if !body.is_empty() {
            let kind =
                if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
            if !sent.contains("content-type") {
                sent.push("content-type", kind);
            }
            sent.push("content-length", body.len().to_string());
        }
        let request = Request {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            authority: "service.test".to_owned(),
            target: target.to_owned(),
            headers: sent,
            body: if body.is_empty() { Body::default() } else { Body::whole(body.as_bytes().to_vec()) },
        };
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        let began = Instant::now();
        let response = ask(self.address, &request);
        for value in response.headers.get_all("set-cookie") {
            let pair = std::str::from_utf8(value).unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        self.exchanges.push(Exchange {
            session: SessionId(self.session),
            connection: Some(self.session),
            edge: "default".to_owned(),
            start_us: start,
            duration_us: Some(began.elapsed().as_micros() as u64),
            ttfb_us: Some(began.elapsed().as_micros() as u64),
            request,
            response: Some(response.clone()),
            ..Exchange::default()
        });
        response
    }
}

/// The text between two others.
#[track_caller]
pub(crate) fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap().0
}

pub(crate) fn body(response: &Response) -> String {
    String::from_utf8(response.body.data.clone().unwrap_or_default().to_vec()).unwrap()
}

pub(crate) fn json(response: &Response) -> serde_json::Value {
    serde_json::from_slice(response.body.data.as_deref().unwrap()).unwrap()
}

/// One request on a connection of its own.
fn ask(address: SocketAddr, request: &Request) -> Response {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut text =
        format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method, request.target).into_bytes();
    for (name, value) in request.headers.iter() {
        text.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(request.body.data.as_deref().unwrap_or_default());
    stream.write_all(&text).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = Headers::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push(name, value);
    }
    let mut data = Vec::new();
    reader.read_to_end(&mut data).unwrap();
    Response { status, headers, body: Body::whole(data) }
}

/// Does to exchanges what the proxy does by default: prints for the bodies of answers, and no secrets.
fn print(exchanges: &mut [Exchange]) {
    let (printer, mut redactor) = (Printer::new(&[42; 32]), Redactor::new([42; 32]));
    for exchange in exchanges {
        let body = &mut exchange.response.as_mut().unwrap().body;
        let data = body.data.take();
        let noted = printer.note(exchange, data.as_deref(), Some(&redactor));
        redactor.exchange(exchange);
        noted.write(exchange);
    }
}

/// What users did, with their secrets hidden, in a file.
pub(crate) struct Recording {
    pub(crate) address: SocketAddr,
    pub(crate) path: PathBuf,
    /// The same with prints in place of the bodies of answers, as the proxy records by default.
    printed: Option<PathBuf>,
    requests: u64,
    statuses: BTreeMap<String, u64>,
    folder: TempDir,
}

impl Recording {
    /// Lets `users` users do what `visit` does, one after the other.
    pub(crate) fn of(service: impl Service, users: u64, visit: impl Fn(&mut User, u64)) -> Recording {
        let printed: RefCell<Vec<Exchange>> = RefCell::default();
        let note = |exchange: &mut Exchange| printed.borrow_mut().push(exchange.clone());
        let mut recording = Recording::made(service, users, (visit, note), |_| {});
        let mut printed: Vec<Exchange> = printed.take();
        print(&mut printed);
        let folder = recording.folder.path().join("printed");
        std::fs::create_dir(&folder).unwrap();
        recording.printed = Some(support::capture(&folder, &printed));
        recording
    }

    /// The same, what was recorded being changed before it is written.
    pub(crate) fn changed(
        service: impl Service,
        users: u64,
        visit: impl Fn(&mut User, u64),
        change: impl Fn(&mut Exchange),
    ) -> Recording {
        Recording::made(service, users, (visit, |_: &mut Exchange| {}), change)
    }

    fn made(
        service: impl Service,
        users: u64,
        (visit, met): (impl Fn(&mut User, u64), impl Fn(&mut Exchange)),
        change: impl Fn(&mut Exchange),
    ) -> Recording {
        let address = open(service);
        let mut redactor = Redactor::new([42; 32]);
        let mut exchanges = Vec::new();
        for number in 0..users {
            let mut user = User::new(address, 0x100 + number);
            visit(&mut user, number);
            exchanges.append(&mut user.exchanges);
        }
        let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
        for exchange in &mut exchanges {
            let status = exchange.response.as_ref().unwrap().status;
            assert!(status < 400, "{status}: {:?}", exchange.request);
            *statuses.entry(status.to_string()).or_default() += 1;
            met(exchange);
            redactor.exchange(exchange);
            change(exchange);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = support::capture(folder.path(), &exchanges);
        Recording { address, path, printed: None, requests: exchanges.len() as u64, statuses, folder }
    }

    pub(crate) fn mined(&self) -> LinkSet {
        mine(&[&self.path], usize::MAX).unwrap().0
    }

    /// Asserts that these links are found, and no others; cookies that come back under their own names left aside. The
    /// same are found, with the same said of them, where prints stand for the answers' bodies.
    #[track_caller]
    pub(crate) fn expect_links(&self, expected: &[&str]) {
        let set = self.mined();
        let links = set.links.iter().filter(|link| !link.is_cookie());
        let found: BTreeSet<String> = links.map(|link| format!("{} -> {}", link.from, link.to)).collect();
        let expected: BTreeSet<String> = expected.iter().map(|link| (*link).to_owned()).collect();
        assert_eq!(found, expected, "{:#?}", set.rejected);
        if let Some(printed) = &self.printed {
            let of_prints = mine(&[printed], usize::MAX).unwrap().0;
            let said = |set: &LinkSet| -> Vec<String> {
                let figures = set.links.iter().map(|link| {
                    let counts = (link.support, link.sessions, link.lag);
                    format!("{} -> {} {counts:?} {} {}", link.from, link.to, link.coverage, link.consistency)
                });
                figures.collect()
            };
            assert_eq!(said(&of_prints), said(&set), "{:#?}", of_prints.rejected);
            assert_eq!((of_prints.answers, of_prints.whole_answers), (set.answers, set.whole_answers));
        }
    }

    pub(crate) fn replay(&self, change: impl FnOnce(&mut Options)) -> Report {
        let mut options = Options {
            target: Some(format!("http://{}", self.address)),
            threads: Some(2),
            speed: Speed::Max,
            rehearsal: false,
            http: Http::One,
            ..Options::new(&self.path)
        };
        change(&mut options);
        replayer::replay(&options, &mut |_: Progress| {}).expect("the replay starts")
    }

    /// Asserts that a hundred times as many users get along as well as the recorded ones did, over both versions of
    /// HTTP, and that nothing works without links.
    #[track_caller]
    pub(crate) fn expect_hundredfold(&self) {
        let full = [(&self.path, Http::One), (&self.path, Http::Two)];
        for (path, http) in full.into_iter().chain(self.printed.iter().map(|path| (path, Http::One))) {
            let report = self.replay(|options| {
                options.captures[0].path.clone_from(path);
                (options.http, options.amplify) = (http, 100.0);
            });
            assert_eq!(report.requests.answered, self.requests * 100, "{:#?}", report.requests);
            let expected: BTreeMap<String, u64> =
                self.statuses.iter().map(|(status, count)| (status.clone(), count * 100)).collect();
            assert_eq!(report.requests.status, expected, "{http:?}: {:#?}", report.links);
            assert_eq!(report.requests.mismatched, 0);
            assert!(!report.links.is_empty());
            for link in &report.links {
                assert!(link.missed == 0 && 0 < link.used, "{http:?}: {link:?}");
            }
        }
        let without = self.replay(|options| (options.links, options.amplify) = (LinkChoice::None, 100.0));
        let good = |report: &Report| -> u64 {
            let all = report.requests.status.iter();
            all.filter(|(status, _)| status.starts_with(['2', '3'])).map(|(_, count)| count).sum()
        };
        assert_eq!(without.requests.answered, self.requests * 100);
        assert!(good(&without) * 2 <= self.requests * 100, "{:?}", without.requests.status);
        assert!(without.links.is_empty());
    }
}
