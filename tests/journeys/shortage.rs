//! A proxy that has fewer open files than it would need: requests wait for their connection, and none fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{DEADLINE, Proxy, http, squall};

const CLIENTS: usize = 100;
/// Enough for all clients, not for as many connections to the origin.
const OPEN_FILES: usize = 160;

/// An origin that answers nobody before it is told to, and everybody then.
fn gated() -> (SocketAddr, Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (open, opened): (Sender<()>, Receiver<()>) = channel();
    let (enter, entered) = channel::<TcpStream>();
    thread::spawn(move || listener.incoming().flatten().try_for_each(|stream| enter.send(stream)));
    thread::spawn(move || {
        opened.recv().unwrap();
        for mut stream in entered {
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while reader.read_line(&mut head).is_ok_and(|n| n != 0) {
                    if head.ends_with("\r\n\r\n") {
                        head.clear();
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
                    }
                }
            });
        }
    });
    (addr, open)
}

/// A connection to the admin API that the proxy has a descriptor for.
fn watch(proxy: &Proxy) -> TcpStream {
    let mut admin = TcpStream::connect(proxy.admin()).unwrap();
    status(&mut admin);
    admin
}

/// The status, over a connection that is there already.
fn status(admin: &mut TcpStream) -> Value {
    admin.write_all(b"GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut reader = BufReader::new(admin);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// A proxy with few open files.
fn short(args: &[&str]) -> Proxy {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {OPEN_FILES}; exec \"$0\" \"$@\"")]);
    command.arg(squall::<&str>(&[]).get_program()).arg("proxy").args(args);
    Proxy::run(command)
}

fn wait(watch: &mut TcpStream, what: &str, is_so: &dyn Fn(&Value) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so(&status(watch)) {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn requests_wait_for_a_descriptor_and_none_fails() {
    let (origin, open) = gated();
    let upstream = format!("http://{origin}");
    let proxy = short(&["--listen", "127.0.0.1:0", "--upstream", &upstream, "--fault", "/held delay 1h"]);
    let mut watch = watch(&proxy);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(proxy.addr()).unwrap()).collect();
    for client in &mut clients {
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client.write_all(b"GET /held HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").unwrap();
    }
    wait(&mut watch, "all sleep", &|status| status["in_flight"] == CLIENTS);
    assert_eq!(http::post(proxy.admin(), "/lift", b"").status, 200);
    wait(&mut watch, "there are too few", &|status| status["limits"]["met"]["open_files"] != 0);
    open.send(()).unwrap();
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
    }
    proxy.expect_delivered(CLIENTS as u64);
}

#[test]
fn connections_of_a_tcp_edge_wait_for_one_too() {
    let (origin, open) = gated();
    let upstream = format!("db=tcp://{origin}");
    let proxy = short(&["--listen", "db=tcp://127.0.0.1:0", "--upstream", &upstream]);
    let mut watch = watch(&proxy);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(proxy.edge("db")).unwrap()).collect();
    for client in &mut clients {
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client.write_all(b"hello\r\n\r\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    }
    wait(&mut watch, "there are too few", &|status| status["limits"]["met"]["open_files"] != 0);
    open.send(()).unwrap();
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
}
