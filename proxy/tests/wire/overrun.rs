//! A recorder that is given more than it can take lets whole sessions go, counts them, and nobody waits for it.

use captures::Reader;

use crate::harness::{Origin, Proxy};

/// The recorder takes ten milliseconds for each exchange, and is given ten times what it can take.
#[test]
fn a_recorder_that_is_overrun_sheds_whole_sessions_and_harms_no_traffic() {
    let origin = Origin::plain();
    let slow = Some(proxy::Stumble::Recording(std::time::Duration::from_millis(10)));
    let plan = Proxy::before(origin.addr).recorded().with(|config| config.stumble = slow);
    let mut proxy = plan.with(|config| config.body_limit = 1 << 20).start();
    let body = vec![7; 1_000_000];
    let most_queued = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let mut client = proxy.client();
                    for step in 0..5 {
                        client.send(format!(
                            "POST /{step} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n",
                            body.len()
                        ));
                        client.send(&body);
                        assert_eq!(client.answer(false).status, 200, "traffic goes on");
                    }
                    let queued = proxy.status()["recording"]["queued_bytes"].as_u64().expect("told");
                    most_queued.fetch_max(queued, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    let status = proxy.status()["recording"].clone();
    let books = proxy.stop();
    let edge = &books.edges[0].books;
    assert_eq!((edge.seen, edge.delivered), (400, 400), "no request was harmed");
    let shed: u64 = books.shed.values().sum();
    assert_eq!(edge.seen, edge.recorded + shed, "each is accounted for");
    assert!(0 < shed && 0 < edge.recorded, "{books:?}");
    assert!(status["shed_sessions"].as_u64() > Some(0));
    let most = most_queued.into_inner();
    assert!(most <= 128 << 20, "{most} bytes were queued");
    // what is in the capture of a session is its beginning, without holes
    let mut sessions = std::collections::BTreeMap::<_, Vec<String>>::new();
    for exchange in Reader::open(proxy.capture()).expect("a capture").exchanges() {
        let exchange = exchange.expect("undamaged");
        sessions.entry(exchange.session).or_default().push(exchange.request.target);
    }
    for steps in sessions.values() {
        let expected: Vec<String> = (0..steps.len()).map(|step| format!("/{step}")).collect();
        assert_eq!(steps, &expected);
    }
    let verified = captures::verify::verify(proxy.capture()).expect("readable");
    assert_eq!((verified.exchanges, verified.shed.values().sum::<u64>()), (edge.recorded, shed));
}
