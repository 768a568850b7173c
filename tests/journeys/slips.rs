//! Slips of an operator: each is met by what was wrong, where, and what to type, and none by a loss.

use std::path::Path;

use tempfile::TempDir;

use crate::kit::{Finished, Server, eventually, run_squall, text};
use crate::support::{Proxy, http, squall};

const RULES: &str = "version = 1\n[[rule]]\nid = \"slow-tail\"\non = \"/bad\"\nrespond = 500\n";

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    text(&path)
}

#[test]
fn a_rule_file_that_is_no_text_is_shown_with_its_place() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let latin = write(&folder, "latin.toml", b"[[rule]]\nid = \"caf\xe9\"\nrespond = 503\n");
    let place = ["latin.toml:2:10: error[E00]: a byte that is no UTF-8", "^", "save the file as UTF-8"];
    run_squall(&["check", &latin]).expect_words(1, &place);
    let edge = ["proxy", "--listen", "127.0.0.1:0", "--upstream", &server.url(), "--rules", &latin];
    Finished::of(squall(&edge)).expect_words(104, &place);
    // a live proxy keeps what it has, and shows the same
    let rules = write(&folder, "faults.toml", RULES.as_bytes());
    let proxy = Proxy::before(&server.url(), &["--rules", &rules]);
    std::fs::copy(&latin, &rules).unwrap();
    eventually("the file is refused", || {
        (proxy.ask("/status")["rules"]["error"]["code"] == "E00").then_some(())
    });
    assert_eq!(http::get(proxy.addr(), "/bad").status, 500);
}

#[test]
fn a_file_without_an_end_is_read_to_its_bound() {
    run_squall(&["check", "/dev/zero"])
        .expect_words(1, &["/dev/zero:1:1: error[E00]: a rule file of more than 1 MiB"]);
}

#[test]
fn a_rule_that_is_not_there_is_told_with_the_nearest_that_is() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let rules = write(&folder, "faults.toml", RULES.as_bytes());
    let proxy = Proxy::before(&server.url(), &["--rules", &rules]);
    let admin = format!("http://{}", proxy.admin());
    run_squall(&["lift", &admin, "slow-tial"])
        .expect_words(104, &["no rule or hook `slow-tial`", "did you mean `slow-tail`?"]);
    run_squall(&["lift", &admin, "xyzzy"]).expect_words(104, &["there are slow-tail"]);
    for none in ["", "a b", "a/b"] {
        run_squall(&["lift", &admin, none]).expect_words(104, &["is no id of a rule", "squall status"]);
    }
    assert_eq!(http::get(proxy.addr(), "/bad").status, 500, "none of these lifts anything");
    assert_eq!(proxy.ask("/status")["armed"], true);
}

#[test]
fn books_that_could_not_be_written_are_told_before_the_run() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let edge = ["proxy", "--listen", "127.0.0.1:0", "--upstream", &server.url(), "--json"];
    let nowhere = text(folder.path().join("no/such/folder.json"));
    let with = |path: &str| Finished::of(squall(&[&edge[..], &[path]].concat()));
    with(&nowhere).expect_words(104, &["cannot write", "folder.json"]);
    with(&text(folder.path())).expect_words(104, &["cannot write"]);
    // what is there stays until the end has something better, and nothing is left behind before it
    let old = write(&folder, "old.json", b"{}");
    let new = text(folder.path().join("new.json"));
    for path in [&old, &new] {
        let proxy = Proxy::before(&server.url(), &["--json", path]);
        assert_eq!(Path::new(path).exists(), path == &old);
        assert!(proxy.stop().0.success());
        let books: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(books["edges"].is_array());
    }
}

#[test]
fn books_go_through_pipes_and_links_that_lead_nowhere_yet() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let at = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink(at("made.json"), at("link.json")).unwrap();
    let proxy = Proxy::before(&server.url(), &["--json", &text(at("link.json"))]);
    assert!(proxy.stop().0.success());
    assert!(std::fs::read_to_string(at("made.json")).unwrap().contains("\"edges\""));

    assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    // nobody reads yet: the start does not wait for that
    let proxy = Proxy::before(&server.url(), &["--json", &text(at("pipe"))]);
    let pipe = at("pipe");
    let reader = std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap());
    assert!(proxy.stop().0.success());
    assert!(reader.join().unwrap().contains("\"edges\""), "all of it, and not the end of a try");
}

#[test]
fn a_port_that_is_taken_is_told_with_what_to_do() {
    let server = Server::plain();
    let proxy = Proxy::before(&server.url(), &["--threads", "1"]);
    let taken = proxy.addr().to_string();
    let again = squall(&["proxy", "--listen", &taken, "--upstream", &server.url()]);
    Finished::of(again).expect_words(104, &["cannot listen on", &taken, "take another port"]);
    let admin = proxy.admin().to_string();
    let other = squall(&["proxy", "--listen", "127.0.0.1:0", "--upstream", &server.url(), "--admin", &admin]);
    Finished::of(other).expect_words(104, &["cannot listen on", &admin, "take another port"]);
    let slip =
        ["proxy", "--listen", "127.0.0.1:0", "--upstream", &server.url(), "--fault", "GET /a dealy 2s"];
    Finished::of(squall(&slip))
        .expect_words(104, &["squall: --fault:1:8: error[E01]", "did you mean `delay`?"]);
}
