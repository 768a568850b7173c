use captures::exchange::{Request, Response};
use captures::header::FileHeader;
use captures::notes::Notes;
use captures::{Body, Writer};
use proptest::prelude::*;

use super::*;
use crate::links::Links;
use crate::plan::tests::{sessions, wanted};

/// A capture of the sessions, one exchange of each in turn, so that every session lies in many places.
fn capture(sessions: &[Session]) -> tempfile::TempPath {
    let path = tempfile::Builder::new().suffix(".zst").tempfile().unwrap().into_temp_path();
    std::fs::remove_file(&path).unwrap();
    let mut writer =
        Writer::create(&path, FileHeader::default(), captures::header::Options::default()).unwrap();
    let longest = sessions.iter().map(|session| session.exchanges.len()).max().unwrap_or(0);
    for place in 0..longest {
        for session in sessions {
            if let Some(exchange) = session.exchanges.get(place) {
                writer.push(exchange, exchange.start_us).unwrap();
            }
        }
        writer.flush(0).unwrap();
    }
    writer.finish(0).unwrap();
    path
}

/// All that a plan holds, in order.
fn contents(plan: &Plan) -> Vec<String> {
    let mut all = vec![format!("{:016x} {:?} {:?}", plan.hash, plan.routes, plan.skipped)];
    for program in plan.programs() {
        all.push(format!("{:x} {}", program.session(), program.start_us()));
        for step in program.steps() {
            let sender =
                crate::plan::Sender { seed: 1, run: "r", session: 1, clone: 2, operation: 3, trace: None };
            let mut head = Vec::new();
            step.write_head(&mut head, sender, None, 1);
            let times = (step.offset_us(), step.end_us(), step.duration_us(), step.script().is_some());
            let (head, body) = (String::from_utf8_lossy(&head), String::from_utf8_lossy(step.body()));
            let known = step.answer();
            let answer = (step.status(), known.len, known.is_plain, plan.shapes.text(known.shape));
            all.push(format!("{times:?} {:?} {} {answer:?} {head} {body}", step.lane(), step.route()));
        }
    }
    all
}

/// Makes a request of some size, with all that a spilled exchange must keep.
fn furnish(sessions: &mut [Session]) {
    for session in sessions {
        for (place, exchange) in session.exchanges.iter_mut().enumerate() {
            exchange.request.headers.push("Cookie", "sid=1");
            exchange.request.body = Body::whole(vec![b'b'; place * 10]);
            exchange.notes = if place == 3 { Notes::STREAM } else { Notes::NONE };
            if let Some(response) = &mut exchange.response {
                response.body = Body::whole(format!(r#"{{"a{place}":1}}"#));
            }
            if place == 5 {
                exchange.faults.push("slow".to_owned());
            }
            if let Some(response) = exchange.response.as_mut().filter(|_| place == 1) {
                response.headers.push("Set-Cookie", "sid=2");
                response.headers.push("X-Other", "3");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_plan_is_the_same_in_memory_and_mapped(mut sessions in sessions(), amplify in 0.5_f64..4.0, seed: u64) {
        furnish(&mut sessions);
        let path = capture(&sessions);
        let wanted = wanted(amplify, seed);
        let plain = compile(&[&path], &wanted).unwrap();
        let built = contents(&Plan::build(&sessions, &wanted));
        prop_assert_eq!(contents(&plain.plan), built);
        prop_assert_eq!((plain.sessions, plain.damage.len()), (sessions.len() as u64, 0));
        for memory_bytes in [0, 2_000] {
            let mapped = compile_within(&[&path], &wanted, memory_bytes).unwrap();
            prop_assert_eq!(contents(&mapped.plan), contents(&plain.plan));
            prop_assert_eq!(mapped.sessions, plain.sessions);
            if memory_bytes == 0 {
                let expect = mapped.plan.programs().len() > 0;
                prop_assert_eq!(mapped.plan.footprint().mapped > 0, expect);
            }
        }
    }
}

#[test]
fn several_captures_start_together_and_keep_their_sessions_apart() {
    let at = |begin: u64| {
        let exchange = |id| Exchange {
            session: SessionId(id),
            start_us: begin + id,
            request: Request { method: "GET".to_owned(), target: "/".to_owned(), ..Request::default() },
            response: Some(Response { status: 200, ..Response::default() }),
            ..Exchange::default()
        };
        capture(&[1, 2].map(|id| Session { id: SessionId(id), exchanges: vec![exchange(id)] }))
    };
    let (first, second) = (at(1_000_000), at(9_000_000_000));
    for memory_bytes in [0, usize::MAX] {
        let compiled = compile_within(&[&first, &second], &wanted(1.0, 1), memory_bytes).unwrap();
        let programs: Vec<_> =
            compiled.plan.programs().map(|program| (program.source(), program.start_us())).collect();
        assert_eq!(programs.len(), 4);
        assert!([(0, 0), (0, 1), (1, 0), (1, 1)].iter().all(|one| programs.contains(one)), "{programs:?}");
        let mut ids: Vec<u64> = compiled.plan.programs().map(crate::plan::Program::session).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4);
    }
}

#[test]
fn damage_and_what_was_shed_are_told() {
    let sessions = [crate::plan::tests::session(1, &[(0, Some(1), None), (5, Some(1), None)])];
    let path = capture(&sessions);
    let bytes = std::fs::read(&path).unwrap();
    for memory_bytes in [0, usize::MAX] {
        let torn = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(torn.path(), &bytes[..bytes.len() / 2]).unwrap();
        let compiled = compile_within(&[torn.path()], &wanted(1.0, 1), memory_bytes).unwrap();
        assert!(!compiled.damage.is_empty());
        assert!(compiled.plan.population.requests() <= Some(2));
    }
    let none = Path::new("/nonexistent/capture.zst");
    assert!(matches!(compile(&[none], &wanted(1.0, 1)), Err(Error::Capture(_))));
    let set = Wanted { substitutions: vec!["query:q={mail}".parse().unwrap()], ..wanted(1.0, 1) };
    assert!(matches!(compile(&[&path], &set), Err(Error::Usage(words)) if words.contains("{mail}")));
}

/// Sessions that are given a token, send it once, and ask for much else.
fn linked() -> Vec<Session> {
    let session = |id: u64| {
        let token = format!("token-{id:08x}-{:08x}", id.wrapping_mul(0x9e37_79b9));
        let exchange = |step: u64, method: &str, target: &str| Exchange {
            session: SessionId(id),
            connection: Some(id),
            start_us: 1_000_000 + id * 1000 + step * 100_000,
            duration_us: Some(500),
            request: Request { method: method.to_owned(), target: target.to_owned(), ..Request::default() },
            response: Some(Response { status: 200, ..Response::default() }),
            ..Exchange::default()
        };
        let mut exchanges: Vec<Exchange> = (0..12).map(|step| exchange(step, "GET", "/pictures/7")).collect();
        exchanges[3] = exchange(3, "POST", "/login");
        exchanges[8] = exchange(8, "GET", "/me");
        let answer = exchanges[3].response.as_mut().unwrap();
        answer.headers.push("content-type", "application/json");
        answer.body = Body::whole(format!("{{\"token\":\"{token}\"}}").into_bytes());
        exchanges[8].request.headers.push("authorization", format!("Bearer {token}"));
        Session { id: SessionId(id), exchanges }
    };
    (1..6).map(session).collect()
}

#[test]
fn steps_without_links_are_as_they_were() {
    let path = capture(&linked());
    let links = Links::find(&crate::links::Choice::Auto, &[&path]).unwrap();
    let plan = Plan::build(&linked(), &Wanted { links: links.into(), ..wanted(1.0, 1) });
    let plain = Plan::build(&linked(), &wanted(1.0, 1));
    assert_eq!((plan.links.len(), plain.links.len()), (1, 0));
    for (program, before) in plan.programs().zip(plain.programs()) {
        for (place, (step, before)) in program.steps().zip(before.steps()).enumerate() {
            assert_eq!(step.has_links(), [3, 8].contains(&place), "step {place}");
            assert_eq!(step.is_substituted(), place == 8, "only the one that sends the token is composed");
            if place != 8 {
                let sender = crate::plan::Sender {
                    seed: 1,
                    run: "r",
                    session: 1,
                    clone: 2,
                    operation: 3,
                    trace: None,
                };
                let (mut head, mut other) = (Vec::new(), Vec::new());
                step.write_head(&mut head, sender, None, 1);
                before.write_head(&mut other, sender, None, 1);
                assert_eq!(head, other);
            }
        }
    }
}

#[test]
fn links_are_the_same_through_temporary_files() {
    let path = capture(&linked());
    let links = std::sync::Arc::new(Links::find(&crate::links::Choice::Auto, &[&path]).unwrap());
    let wanted = Wanted { links, ..wanted(1.0, 1) };
    let blocks = |memory_bytes: usize| {
        let plan = compile_within(&[&path], &wanted, memory_bytes).unwrap().plan;
        let steps = plan.programs().flat_map(crate::plan::Program::steps);
        let blocks: Vec<Vec<u8>> = steps.map(|step| step.links().to_vec()).collect();
        (plan.hash, blocks)
    };
    let in_memory = blocks(usize::MAX);
    assert_eq!(in_memory.1.iter().filter(|block| !block.is_empty()).count(), 10);
    assert_eq!(blocks(1), in_memory);
}
