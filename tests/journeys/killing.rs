//! SIGKILL while recording costs at most the block in flight.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use captures::Reader;
use captures::damage::DamageKind;
use captures::verify::verify;
use tempfile::TempDir;

use crate::kit::{eventually, expect_whole, inspect, run_squall, text};
use crate::support::{Proxy, Shop, http};

#[test]
fn what_was_flushed_is_there_and_the_capture_goes_on() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let capture = folder.path().join("capture.zst");
    let record = ["--record", &text(&capture)];
    let mut proxy = Proxy::before(&shop.url(), &record);
    for _ in 0..20 {
        assert_eq!(http::get(proxy.addr(), "/").status, 200);
    }
    // a block closes by its age, with no more traffic; a capture that is being written can be read
    let requests = || inspect(&capture)["requests"].as_u64().unwrap();
    eventually("the block is closed", || (requests() == 20).then_some(()));
    for _ in 0..5 {
        assert_eq!(http::get(proxy.addr(), "/api/products").status, 200);
    }
    proxy.process().signal("KILL");
    assert_eq!(proxy.process().wait().code(), None, "killed by a signal");

    let found = run_squall(&["captures", "verify", &text(&capture)]);
    found.expect_words(1, &[" exchanges in ", "not closed", "squall captures repair"]);
    let kept = requests();
    assert!((20..=25).contains(&kept), "{kept}");
    assert_eq!(inspect(&capture)["closed"], false);
    run_squall(&["captures", "repair", &text(&capture)]).expect(0);
    expect_whole(&capture);
    assert_eq!(requests(), kept);

    let proxy = Proxy::before(&shop.url(), &record);
    for _ in 0..3 {
        assert_eq!(http::get(proxy.addr(), "/").status, 200);
    }
    proxy.expect_delivered(3);
    let (status, said) = proxy.stop();
    assert!(status.success(), "{said}");
    expect_whole(&capture);
    assert_eq!(requests(), kept + 3, "appended to what was there");
}

#[test]
fn other_files_are_never_recorded_over() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let diary = folder.path().join("diary.txt");
    std::fs::write(&diary, "dear diary").unwrap();
    let listen = ["proxy", "--listen", "127.0.0.1:0", "--upstream", &shop.url(), "--record", &text(&diary)];
    run_squall(&listen).expect_words(104, &["diary.txt"]);
    assert_eq!(std::fs::read_to_string(&diary).unwrap(), "dear diary");
}

/// Again and again, at seeded moments, under load: `SQUALL_KILLS` says how often (5 unless said).
#[test]
fn killed_at_any_moment_no_more_than_the_window_is_lost() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("SQUALL_KILLS").unwrap_or(5);
    let mut moments = Moments(number("SQUALL_FUZZ_SEED").unwrap_or(0x5eed_2026));
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let (mut lost, mut kept) = (0, 0);
    // a file each so often: all of it is read after each kill
    for file in 0..kills.div_ceil(KILLS_A_FILE) {
        let capture = folder.path().join(format!("capture-{file}.zst"));
        let kills = KILLS_A_FILE.min(kills - file * KILLS_A_FILE);
        let mut known = HashSet::new();
        for round in 0..kills {
            lost += kill_once(&shop, &capture, round, moments.next_below(400), &mut known);
            if round % 4 == 3 {
                run_squall(&["captures", "repair", &text(&capture)]).expect(0);
                expect_whole(&capture);
                assert_eq!(targets(&capture), known, "a repair loses nothing more");
            }
        }
        expect_to_go_on(&shop, &capture, known.len() as u64, kills);
        kept += known.len();
    }
    assert_ne!(kept, 0, "{lost} lost in {kills} windows");
}

/// Records under load into a capture, kills the proxy, and looks at what is in the file: `known` was there before, and is
/// now what is there. Returns how many were answered and are not in the file.
fn kill_once(shop: &Shop, capture: &Path, round: u64, after_ms: u64, known: &mut HashSet<String>) -> usize {
    let record = ["--record", &text(capture), "--block-time", "100ms"];
    let mut proxy = Proxy::before(&shop.url(), &record);
    let window =
        proxy.ask("/status")["recording"]["loss_window_us"].as_u64().map(Duration::from_micros).unwrap();
    let load = Load::start(proxy.addr(), round);
    thread::sleep(Duration::from_millis(after_ms));
    let killed = Instant::now();
    proxy.process().signal("KILL");
    assert_eq!(proxy.process().wait().code(), None, "killed by a signal");
    let (answered, stall) = load.stop();

    let found = verify(capture).unwrap();
    let torn = found.damage.iter().filter(|damage| damage.kind == DamageKind::TornTail).count();
    let now = targets(capture);
    // killed before its first block: a file that a repair had closed is closed still
    let is_open = !found.closed || now == *known;
    assert!(found.damage.len() == torn && torn <= 1 && is_open, "{found:?}");
    assert!(known.is_subset(&now), "what was in the file before is in it still");
    let missing: Vec<_> = answered.iter().filter(|(target, _)| !now.contains(target)).collect();
    // the recorder needs the processor too: what the test itself had to wait for it is no loss of the recorder's
    let window = window + GRACE + stall * 2;
    for (target, at) in &missing {
        let age = killed.saturating_duration_since(*at);
        assert!(age <= window, "{target} was answered {age:?} before the kill, the window is {window:?}");
    }
    *known = now;
    missing.len()
}

/// Recording goes on in the file; then it is whole, and says that its recordings were cut off.
fn expect_to_go_on(shop: &Shop, capture: &Path, known: u64, kills: u64) {
    let proxy = Proxy::before(&shop.url(), &["--record", &text(capture)]);
    for _ in 0..3 {
        assert_eq!(http::get(proxy.addr(), "/").status, 200);
    }
    let books = proxy.expect_delivered(3);
    assert_eq!(books.total("recorded"), 3, "{books}");
    let (status, said) = proxy.stop();
    assert!(status.success(), "{said}");
    expect_whole(capture);
    let found = verify(capture).unwrap();
    assert_eq!(found.exchanges, known + 3);
    let unclosed = found.shed.get("unclosed").copied().unwrap_or(0);
    assert!(unclosed <= kills && (1 <= unclosed || kills.is_multiple_of(4)), "{:?}", found.shed);
}

/// The targets of all requests in a capture that bear a number.
fn targets(capture: &Path) -> HashSet<String> {
    let read = Reader::open(capture).unwrap().exchanges().filter_map(Result::ok);
    read.map(|exchange| exchange.request.target).filter(|target| target.contains("?n=")).collect()
}

/// Clients that ask as fast as they are answered, and note what was answered when.
struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<(String, Instant)>>>,
    stall_us: Arc<AtomicU64>,
    watch: JoinHandle<()>,
}

impl Load {
    fn start(proxy: SocketAddr, round: u64) -> Load {
        let over = Arc::<AtomicBool>::default();
        let client = |client| {
            let over = over.clone();
            thread::spawn(move || {
                let mut answered = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let target = format!("/api/products?n={round}-{client}-{}", answered.len());
                    match ask(proxy, &target) {
                        Some(()) => answered.push((target, Instant::now())),
                        None => break,
                    }
                }
                answered
            })
        };
        let clients = (0..4).map(client).collect();
        let stall_us = Arc::<AtomicU64>::default();
        let watch = {
            let (over, stall_us) = (over.clone(), stall_us.clone());
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    thread::sleep(Duration::from_millis(2));
                    stall_us.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
                }
            })
        };
        Load { over, clients, stall_us, watch }
    }

    /// What was answered, and how long this process itself had to wait for the processor at most.
    fn stop(self) -> (Vec<(String, Instant)>, Duration) {
        self.over.store(true, Ordering::Relaxed);
        let answered = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        self.watch.join().unwrap();
        (answered, Duration::from_micros(self.stall_us.load(Ordering::Relaxed)))
    }
}

/// `None` where the proxy is gone before the answer is whole.
fn ask(proxy: SocketAddr, target: &str) -> Option<()> {
    let mut stream = TcpStream::connect(proxy).ok()?;
    let request = format!("GET {target} HTTP/1.1\r\nhost: {proxy}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).ok()?;
    let head = said.windows(4).position(|window| window == b"\r\n\r\n")?;
    let length = String::from_utf8_lossy(&said[..head]).to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1)?.lines().next()?.trim().parse::<usize>().ok()?;
    (said.len() - head - 4 == length).then_some(())
}

/// Seeded moments: SplitMix64.
struct Moments(u64);

impl Moments {
    fn next_below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % n
    }
}

const KILLS_A_FILE: u64 = 10;
/// What lies between the end of an exchange and its block in the file, beside the block's age: the queue, redaction,
/// compression. Milliseconds, on a machine that does nothing else.
const GRACE: Duration = Duration::from_millis(250);
