//! The proxy as all of these tests want it: between a client and an origin, recording, and right to the unit.

use std::process::Command;

use captures::Exchange;
use captures::messages::StreamKind;
use tempfile::TempDir;

use crate::support::{Books, Proxy};
use crate::tools;

/// A recording proxy.
pub(crate) struct Inline {
    proxy: Proxy,
    folder: TempDir,
    scheme: &'static str,
}

impl Inline {
    pub(crate) fn before(upstream: &str) -> Inline {
        Inline::start(upstream, "http", &[])
    }

    pub(crate) fn with_tls(upstream: &str, tls: &Certificate) -> Inline {
        Inline::start(upstream, "https", &["--tls-cert", &tls.cert, "--tls-key", &tls.key])
    }

    fn start(upstream: &str, scheme: &'static str, more: &[&str]) -> Inline {
        let folder = TempDir::new().unwrap();
        let capture = folder.path().join(CAPTURE).display().to_string();
        let proxy = Proxy::before(upstream, &[&["--record", &capture], more].concat());
        Inline { proxy, folder, scheme }
    }

    pub(crate) fn addr(&self) -> String {
        self.proxy.addr().to_string()
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.proxy.addr())
    }

    pub(crate) fn books(&self) -> Books {
        self.proxy.books()
    }

    /// Asserts that exactly `n` exchanges passed whole, that all of them were recorded, and that the capture is a
    /// file that the zstd of the world accepts. What was recorded, by start.
    #[track_caller]
    pub(crate) fn finish(self, n: u64) -> Vec<Exchange> {
        let books = self.proxy.expect_delivered(n);
        assert_eq!(books.total("recorded"), n, "recorded in {books}");
        let (status, said) = self.proxy.stop();
        assert!(status.success(), "the proxy ended with {status}:\n{said}");
        let capture = self.folder.path().join(CAPTURE);
        if let Some(zstd) = tools::program("zstd", "zstd") {
            let mut test = Command::new(zstd);
            test.arg("-tq").arg(&capture);
            tools::run(test);
        }
        let mut exchanges: Vec<Exchange> =
            captures::Reader::open(&capture).unwrap().exchanges().collect::<Result<_, _>>().unwrap();
        exchanges.sort_by_key(|exchange| exchange.start_us);
        exchanges
    }
}

/// How many messages a recorded stream has: from the client, from the server.
#[track_caller]
pub(crate) fn messages(exchange: &Exchange, kind: StreamKind) -> (u64, u64) {
    let stream = exchange.stream.as_ref().expect("a stream");
    assert_eq!((stream.kind, stream.truncated), (kind, 0));
    assert!(stream.messages.is_sorted_by_key(|message| message.at_us));
    (stream.count(true), stream.count(false))
}

/// A self-signed certificate for 127.0.0.1 and localhost, in files that live as long as this.
pub(crate) struct Certificate {
    pub(crate) cert: String,
    key: String,
    _folder: TempDir,
}

impl Certificate {
    pub(crate) fn new() -> Certificate {
        let names = ["127.0.0.1", "localhost"].map(str::to_owned).to_vec();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let folder = TempDir::new().unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let cert = write("cert.pem", made.cert.pem());
        let key = write("key.pem", made.signing_key.serialize_pem());
        Certificate { cert, key, _folder: folder }
    }
}

const CAPTURE: &str = "capture.zst";
