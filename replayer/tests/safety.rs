//! What is refused, with which code, and that a refusal opens no socket.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::net::TcpListener;
use std::path::Path;

use captures::exchange::Response;
use replayer::options::Speed;
use replayer::{Error, Options};
use support::{Server, capture, options, replay, step, with_header};

fn refused(options: &Options) -> (u8, String) {
    match replayer::replay(options, &mut |_| {}) {
        Ok(report) => panic!("it was not refused: {report:#?}"),
        Err(err) => (err.exit_code(), err.to_string()),
    }
}

fn one(dir: &Path) -> std::path::PathBuf {
    capture(dir, &[step(1, 0, 1, "GET /a")])
}

#[test]
fn targets_beyond_loopback_are_refused_before_any_lookup() {
    let dir = tempfile::tempdir().unwrap();
    let path = one(dir.path());
    for url in [
        "http://nowhere.invalid",
        "http://10.1.2.3:80",
        "http://127.0.0.1.nowhere.invalid/",
        "https://[2001:db8::1]",
    ] {
        let options = Options { target: Some(url.to_owned()), ..Options::new(&path) };
        let (code, words) = refused(&options);
        assert_eq!(code, 112, "{url}: {words}");
        assert!(words.contains("--allow-target"), "{words}");
    }
    // A capture without a listener is no leave to speak to the hosts in it.
    let (code, words) = refused(&Options::new(&path));
    assert!(code == 112 && words.contains("--target"), "{words}");
    let proxy = Options {
        proxy: Some("http://nowhere.invalid".to_owned()),
        target: Some("127.0.0.1:9".to_owned()),
        ..Options::new(&path)
    };
    assert_eq!(refused(&proxy).0, 112);
    let counter = Options {
        origin_counter: Some("http://nowhere.invalid/n".to_owned()),
        target: Some("127.0.0.1:9".to_owned()),
        ..Options::new(&path)
    };
    assert_eq!(refused(&counter).0, 112);
}

#[test]
fn an_allowed_host_needs_a_rate() {
    let dir = tempfile::tempdir().unwrap();
    let allowed = Options {
        target: Some("http://nowhere.invalid".to_owned()),
        allow_targets: vec!["nowhere.invalid".to_owned()],
        ..Options::new(one(dir.path()))
    };
    let (code, words) = refused(&allowed);
    assert!(code == 112 && words.contains("--max-rate"), "{words}");
    // With a rate it is looked up, and .invalid never resolves.
    let (code, words) = refused(&Options { max_rate: Some(1.0), ..allowed });
    assert!(code == 104 && words.contains("cannot look up"), "{words}");
}

#[test]
fn foreign_hosts_in_a_capture_are_only_words() {
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    foreign.set_nonblocking(true).unwrap();
    let host = foreign.local_addr().unwrap().to_string();
    let server = Server::plain();
    let mut steps = vec![
        with_header(step(1, 0, 1, "GET /a"), "Host", &host),
        with_header(
            step(1, 1, 1, &format!("GET http://{host}/absolute")),
            "Referer",
            &format!("http://{host}/"),
        ),
        step(1, 2, 1, "GET /redirected"),
    ];
    for step in &mut steps {
        step.request.authority.clone_from(&host);
        let mut response = Response { status: 302, ..Response::default() };
        response.headers.push("Location", format!("http://{host}/elsewhere"));
        step.response = Some(response);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = capture(dir.path(), &steps);
    let mut options = options(&path, &server);
    replay(&options);
    options.keep_host = true;
    replay(&options);
    let met = server.met();
    let hosts: Vec<&str> = met.iter().map(|one| one.header("host").unwrap()).collect();
    let own = server.address.to_string();
    assert_eq!(hosts, [&own, &own, &own, &host, &host, &host]);
    assert_eq!(met[1].target, "/absolute");
    assert!(foreign.accept().is_err(), "a socket was opened to a host of the capture");
}

#[test]
fn bad_input_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = one(dir.path());
    let with = |change: &dyn Fn(&mut Options)| {
        let mut options = Options { target: Some("127.0.0.1:9".to_owned()), ..Options::new(&path) };
        change(&mut options);
        refused(&options)
    };
    let check = |change: &dyn Fn(&mut Options), words: &str| {
        let (code, said) = with(change);
        assert!(code == 104 && said.contains(words), "{said}");
    };
    check(&|options| options.amplify = 0.0, "above 0");
    check(&|options| options.amplify = f64::NAN, "above 0");
    check(&|options| options.amplify = 9e9, "above 0");
    check(&|options| options.captures[0].path = "no such file".into(), "no such file");
    check(
        &|options| options.target = Some("http://127.0.0.1:9/api".to_owned()),
        "paths come from the recording",
    );
    check(&|options| options.target = Some("ftp://127.0.0.1".to_owned()), "not a scheme");
    check(&|options| options.proxy = Some("http://127.0.0.1:1".to_owned()), "does not answer");
    check(&|options| options.headers = vec![("a b".to_owned(), "c".to_owned())], "header field");
    check(&|options| options.headers = vec![("a".to_owned(), "b\r\nc: d".to_owned())], "header field");
    check(&|options| options.speed = Speed::Times(0.0), "above 0");
}

#[test]
fn captures_with_nothing_to_replay_say_why() {
    let check = |name: &str, path: &Path, words: &str| {
        let options = Options { target: Some("127.0.0.1:9".to_owned()), ..Options::new(path) };
        let (code, said) = refused(&options);
        assert!(code == 104 && said.contains(words), "{name}: {said}");
    };
    let dir = tempfile::tempdir().unwrap();
    check("empty", &capture(dir.path(), &[]), "holds no session");
    let dir = tempfile::tempdir().unwrap();
    let mut faulted = step(1, 0, 1, "GET /a");
    faulted.faults.push("slow".to_owned());
    check("faulted", &capture(dir.path(), &[faulted]), "1 faulted");
    let text = dir.path().join("access.log");
    std::fs::write(&text, "127.0.0.1 - - [x] \"GET / HTTP/1.1\" 200 1\n").unwrap();
    check("a log", &text, "squall captures import");
}

#[test]
fn a_torn_tail_is_a_warning_and_the_rest_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let path = one(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0, 0, 1, 2, 3]);
    std::fs::write(&path, bytes).unwrap();
    let server = Server::plain();
    let outline = replayer::preview(&options(&path, &server)).unwrap();
    assert!(outline.warnings.iter().any(|warning| warning.contains("damaged")), "{:?}", outline.warnings);
    assert_eq!(replay(&options(&path, &server)).requests.answered, 1);
}

#[test]
fn a_preview_sends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::plain();
    let path = capture(
        dir.path(),
        &[step(1, 0, 500, "GET /a"), step(1, 1000, 500, "GET /b"), step(2, 200, 1, "GET /a")],
    );
    let options = Options { amplify: 10.0, speed: Speed::Times(1.0), ..options(&path, &server) };
    let outline = replayer::preview(&options).unwrap();
    let plan = &outline.plan;
    assert_eq!((plan.sessions, plan.requests, plan.recorded_sessions), (20, 30, 2));
    assert!(
        plan.span_us >= 1_500_000 && plan.peak_rate >= 10 && plan.sockets >= 10 && plan.memory > 0,
        "{plan:?}"
    );
    assert!(server.met().is_empty());
    let elsewhere = Options { target: Some("http://nowhere.invalid".to_owned()), ..options };
    assert!(matches!(replayer::preview(&elsewhere), Err(Error::Safety(_))));
}
