use super::*;

fn ended(program: u32, clone: u32, step: u32) -> Ended {
    Ended {
        program,
        clone,
        step,
        at_ms: step,
        took_us: 1,
        print: 0,
        fate: Fate::status(200),
        rules: 0,
        attempt: 1,
        flags: 0,
    }
}

fn fill(evidence: &mut Evidence, program: u32, sessions: u32) {
    for step in 0..10 {
        for clone in 0..sessions {
            if evidence.has(program, clone) {
                evidence.note(ended(program, clone, step));
            }
        }
    }
}

#[test]
fn a_small_run_is_kept_whole_and_in_order() {
    let mut evidence = Evidence::new(100_000);
    fill(&mut evidence, 3, 1000);
    let all = evidence.take();
    assert_eq!((all.len(), evidence.share()), (10_000, 1.0));
    assert!(all.is_sorted_by_key(|ended| (ended.program, ended.clone, ended.step)));
}

#[test]
fn a_large_run_keeps_whole_sessions_within_its_room() {
    let room = 50_000;
    let mut evidence = Evidence::new(room);
    fill(&mut evidence, 0, 60_000);
    assert!(evidence.len <= 2 * room, "{} of {room}", evidence.len);
    let share = evidence.share();
    let all = evidence.take();
    let expected = 600_000.0 * share;
    assert!((all.len() as f64 - expected).abs() < expected / 10.0, "{} for {expected}", all.len());
    for session in all.chunk_by(|a, b| a.clone == b.clone) {
        assert_eq!(session.len(), 10, "clone {} is not whole", session[0].clone);
    }
}

#[test]
fn threads_of_unequal_samples_become_one() {
    let (mut one, mut two) = (Evidence::new(100_000), Evidence::new(10_000));
    fill(&mut one, 0, 1000);
    fill(&mut two, 1, 8000);
    let number = two.rules("slow, torn");
    two.note(Ended { rules: number, ..ended(1, 0, 10) });
    one.rules("slow");
    one.merge(two);
    assert_eq!(one.rule_lists().iter().map(|list| &**list).collect::<Vec<_>>(), ["slow", "slow, torn"]);
    let share = one.share();
    let all = one.take();
    assert!(
        share < 1.0
            && all.iter().all(|ended| f64::from(lot(ended.program, ended.clone)) <= share * 2f64.powi(32))
    );
    assert!(all.iter().all(|ended| ended.rules == 0 || ended.rules == 2));
}

#[test]
fn fates_come_back() {
    assert_eq!(Fate::status(503).as_status(), Some(503));
    for failure in Failure::ALL {
        let fate = Fate::failed(failure);
        assert_eq!((fate.as_failure(), fate.as_status()), (Some(failure), None));
    }
}

#[test]
fn bodies_in_flight_are_bounded() {
    let mut evidence = Evidence::new(1000);
    assert!(!evidence.begin_body(0, 200, (0, 0)));
    for op in 0..2 * limits::EVIDENCE_BODIES as u32 {
        let wanted = evidence.begin_body(op, 500, (0, op));
        assert_eq!(wanted, (op as usize) < limits::EVIDENCE_BODIES);
    }
    evidence.body(1, b"out of stock");
    evidence.body(2, b"out of stock");
    assert_eq!(evidence.end_body(1), evidence.end_body(2));
    assert_eq!(evidence.end_body(1), 0);
    assert!(!Evidence::new(0).has(0, 0));
}
