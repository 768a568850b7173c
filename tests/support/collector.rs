//! A collector for OTLP over HTTP that keeps what it is sent, and dies when it is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::Value;

type Received = Arc<Mutex<Vec<(String, Value)>>>;

/// A collector at work.
pub(crate) struct Collector {
    addr: SocketAddr,
    received: Received,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    pub(crate) fn open() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let (received, over) = (Received::default(), Arc::<AtomicBool>::default());
        let (keeps, is_over) = (received.clone(), over.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::Acquire) {
                    return;
                }
                take(stream, &keeps);
            }
        });
        Collector { addr, received, over, thread: Some(thread) }
    }

    /// One that is there, and says nothing: whoever sends to it waits as long as its patience goes.
    pub(crate) fn silent() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        (listener, url)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every span so far, with the name of its service.
    pub(crate) fn spans(&self) -> Vec<(String, Value)> {
        let of = |message: &Value| -> Vec<(String, Value)> {
            let resource = &message["resourceSpans"][0];
            let service = text(&resource["resource"], "service.name");
            let spans = resource["scopeSpans"][0]["spans"].as_array().expect("spans are a list");
            spans.iter().map(|span| (service.clone(), span.clone())).collect()
        };
        self.of("/v1/traces").iter().flat_map(of).collect()
    }

    /// The newest message of metrics: each by its name.
    pub(crate) fn metric(&self, name: &str) -> Option<Value> {
        let newest = self.of("/v1/metrics").pop()?;
        let metrics = newest["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array()?.clone();
        metrics.into_iter().find(|metric| metric["name"] == name)
    }

    fn of(&self, path: &str) -> Vec<Value> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let of_path = received.iter().filter(|(to, _)| to == path);
        of_path.map(|(_, message)| message.clone()).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.addr);
        self.thread.take().map(JoinHandle::join);
    }
}

/// A text among the attributes of a span, a resource or a point.
pub(crate) fn text(of: &Value, key: &str) -> String {
    let attribute = attribute(of, key);
    attribute["stringValue"].as_str().unwrap_or_else(|| panic!("no {key} in {of}")).to_owned()
}

/// An attribute by its key; null where there is none.
pub(crate) fn attribute(of: &Value, key: &str) -> Value {
    let attributes = of["attributes"].as_array().expect("attributes are a list");
    attributes
        .iter()
        .find(|attribute| attribute["key"] == key)
        .map_or(Value::Null, |one| one["value"].clone())
}

fn take(stream: TcpStream, received: &Received) {
    let mut writer = stream.try_clone().expect("a second handle");
    let mut reader = BufReader::new(stream);
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).map_or(0, |count| count) == 0 {
            return;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = line.strip_prefix("post ") {
            path = rest.split(' ').next().unwrap_or_default().to_owned();
        } else if let Some(told) = line.strip_prefix("content-length: ") {
            length = told.parse().expect("a length");
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body is as long as told");
    let message = serde_json::from_slice(&body).expect("JSON");
    received.lock().unwrap_or_else(PoisonError::into_inner).push((path, message));
    let _ = writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
}
