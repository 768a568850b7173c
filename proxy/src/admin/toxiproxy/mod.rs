//! Toxiproxy's HTTP API, so that its client libraries work unchanged: proxies are edges, toxics are rules.
//!
//! Edges of the command line appear under their names and cannot be removed; edges made here are plain TCP. A toxic
//! becomes a rule `toxic-PROXY-NAME` behind all others, at its toxicity as a rate of connections: one roll, by hash.
//! So arming, caps, ledger and books hold for it as for any rule, and it reaches connections that are there already. What
//! differs from the original is what is wrong there: unknown keys and negative numbers are refused, and a change
//! is whole or not at all.

#[cfg(test)]
mod fuzz;
mod proxies;
mod shapes;
mod toxics;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use fault_rules::action::Direction;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{Answer, Asked, replies};
use crate::rules::Extra;
use crate::shared::Shared;
use crate::sync::lock;
use shapes::{Problem, ToxicIn};
use toxics::Toxic;

/// What was made through this API, beside the edges.
#[derive(Debug, Default)]
pub(crate) struct Toxiproxy {
    /// One change at a time.
    made: Mutex<Made>,
}

#[derive(Debug, Clone, Default)]
struct Made {
    /// By edge, in the order in which they came.
    toxics: BTreeMap<String, Vec<Toxic>>,
    /// HTTP edges that are switched off.
    down: BTreeSet<String>,
}

/// Answers what is Toxiproxy's; `None`: another's to answer.
pub(super) fn route(asked: &Asked, shared: &Arc<Shared>) -> Option<Answer> {
    let parts: Vec<String> = asked.path.split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let changes = asked.method != http::Method::GET;
    let answered = match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["version"]) => {
            Ok((StatusCode::OK, json!({ "version": SPOKEN, "squall": env!("CARGO_PKG_VERSION") })))
        }
        ("POST", ["reset"]) => proxies::reset(shared),
        ("POST", ["populate"]) => return Some(proxies::populate(shared, &asked.body)),
        ("GET", ["proxies"]) => proxies::index(shared),
        ("POST", ["proxies"]) => proxies::create(shared, &asked.body),
        ("GET", ["proxies", name]) => proxies::show(shared, name),
        ("POST" | "PATCH", ["proxies", name]) => proxies::update(shared, name, &asked.body),
        ("DELETE", ["proxies", name]) => proxies::delete(shared, name),
        ("GET", ["proxies", proxy, "toxics"]) => toxic_index(shared, proxy),
        ("POST", ["proxies", proxy, "toxics"]) => toxic_create(shared, proxy, &asked.body),
        ("GET", ["proxies", proxy, "toxics", name]) => toxic_show(shared, proxy, name),
        ("POST" | "PATCH", ["proxies", proxy, "toxics", name]) => {
            toxic_update(shared, (proxy, name), &asked.body)
        }
        ("DELETE", ["proxies", proxy, "toxics", name]) => toxic_delete(shared, proxy, name),
        _ => return None,
    };
    let mut answer = match answered {
        Ok((StatusCode::NO_CONTENT, _)) => no_content(),
        Ok((status, body)) => replies::json(status, &body),
        Err(problem) => problem.answer(),
    };
    if changes && parts.contains(&"toxics") && !shared.rules.standing.is_armed() {
        answer.headers_mut().insert("squall-warning", HeaderValue::from_static(NOT_ARMED));
    }
    Some(answer)
}

type Said = Result<(StatusCode, Value), Problem>;

fn toxic_index(shared: &Arc<Shared>, proxy: &str) -> Said {
    let made = lock(&shared.toxiproxy.made);
    proxies::find(shared, proxy)?;
    Ok((StatusCode::OK, made.told(proxy).into()))
}

fn toxic_show(shared: &Arc<Shared>, proxy: &str, name: &str) -> Said {
    let made = lock(&shared.toxiproxy.made);
    proxies::find(shared, proxy)?;
    Ok((StatusCode::OK, made.toxic(proxy, name)?.json()))
}

fn toxic_create(shared: &Arc<Shared>, proxy: &str, body: &[u8]) -> Said {
    let mut made = lock(&shared.toxiproxy.made);
    proxies::find(shared, proxy)?;
    let toxic = Toxic::read(shapes::read::<ToxicIn>(body)?)?;
    let mut new = made.clone();
    let toxics = new.toxics.entry(proxy.to_owned()).or_default();
    if toxics.iter().any(|known| known.name == toxic.name) {
        return Err(Problem::conflict("toxic already exists"));
    }
    let told = toxic.json();
    toxics.push(toxic);
    new.put_in_force(shared)?;
    *made = new;
    Ok((StatusCode::OK, told))
}

fn toxic_update(shared: &Arc<Shared>, (proxy, name): (&str, &str), body: &[u8]) -> Said {
    let mut made = lock(&shared.toxiproxy.made);
    proxies::find(shared, proxy)?;
    let toxic = made.toxic(proxy, name)?.updated(shapes::read(body)?)?;
    let mut new = made.clone();
    let told = toxic.json();
    if let Some(known) =
        new.toxics.get_mut(proxy).and_then(|all| all.iter_mut().find(|known| known.name == name))
    {
        *known = toxic;
    }
    new.put_in_force(shared)?;
    *made = new;
    Ok((StatusCode::OK, told))
}

fn toxic_delete(shared: &Arc<Shared>, proxy: &str, name: &str) -> Said {
    let mut made = lock(&shared.toxiproxy.made);
    proxies::find(shared, proxy)?;
    made.toxic(proxy, name)?;
    let mut new = made.clone();
    if let Some(toxics) = new.toxics.get_mut(proxy) {
        toxics.retain(|toxic| toxic.name != name);
    }
    new.put_in_force(shared)?;
    *made = new;
    Ok((StatusCode::NO_CONTENT, Value::Null))
}

impl Made {
    fn toxic(&self, proxy: &str, name: &str) -> Result<&Toxic, Problem> {
        let toxics = self.toxics.get(proxy).map_or([].as_slice(), Vec::as_slice);
        toxics.iter().find(|toxic| toxic.name == name).ok_or_else(Problem::no_toxic)
    }

    /// Those of one proxy as they are told, upstream ones first, as the original does.
    fn told(&self, proxy: &str) -> Vec<Value> {
        let mut told: Vec<_> = self.toxics.get(proxy).into_iter().flatten().map(Toxic::json).collect();
        told.sort_by_key(|toxic| toxic["stream"] == "downstream");
        told
    }

    /// Puts all of it in force as rules, at once.
    fn put_in_force(&self, shared: &Arc<Shared>) -> Result<(), Problem> {
        let mut extra = Extra { rules: Vec::new(), ways: HashMap::new() };
        let mut ids = HashSet::new();
        for (edge, toxics) in &self.toxics {
            let is_tcp = shared.tcp.get(edge).is_some();
            for toxic in toxics {
                let id = rule_id(edge, &toxic.name, &mut ids);
                let Some(made) = toxic.rule(id, edge, is_tcp)? else { continue };
                extra.ways.extend(made.way.map(|way: Direction| (made.rule.id.clone(), way)));
                extra.rules.push(made.rule);
            }
        }
        for edge in &self.down {
            extra.rules.push(toxics::down(rule_id(edge, "down", &mut ids), edge));
        }
        let before = shared.rules.live().generation;
        let put = shared.rules.replace_extra(extra);
        let generation =
            put.map_err(|report| Problem::conflict(format!("this cannot stand beside the rules: {report}")))?;
        if generation != before {
            let rules = shared.rules.live().ids.len();
            tracing::info!(generation, rules, "rules changed through Toxiproxy's API");
        }
        Ok(())
    }
}

/// `toxic-PROXY-NAME`, as far as an id may look like that; with a hash where it would not be the only one.
fn rule_id(proxy: &str, toxic: &str, taken: &mut HashSet<String>) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let wished = format!("toxic-{proxy}-{toxic}");
    let mut id: String = wished.chars().map(fits).collect();
    if id != wished || ID_CHARS < id.len() || taken.contains(&id) {
        let hash = xxhash_rust::xxh3::xxh3_64(format!("{proxy}/{toxic}").as_bytes());
        id.truncate(ID_CHARS - HASH_CHARS - 1);
        id = format!("{id}-{:08x}", hash as u32);
    }
    taken.insert(id.clone());
    id
}

/// Names travel in paths, books and metrics.
fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    let well_formed = !name.contains('/') && !name.chars().any(char::is_control);
    if well_formed && !name.is_empty() && name.chars().count() <= NAME_CHARS {
        return Ok(());
    }
    Err(Problem::bad(format!(
        "a {what}'s name has 1 to {NAME_CHARS} characters, none of them `/` or a control character"
    )))
}

fn no_content() -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

fn decoded(part: &str) -> String {
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = part.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The version of Toxiproxy whose API this is.
const SPOKEN: &str = "2.12.0";
const NOT_ARMED: &str = "the rules are not armed, so no toxic acts: POST /arm";
const NAME_CHARS: usize = 100;
/// As long as a rule's id may be.
const ID_CHARS: usize = 64;
const HASH_CHARS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_apart_whatever_the_names() {
        let mut taken = HashSet::new();
        assert_eq!(rule_id("redis", "latency_downstream", &mut taken), "toxic-redis-latency_downstream");
        let names = [("a b", "x"), ("a_b", "x"), ("a/b", "x"), ("a", "b-x"), ("a-b", "x")];
        let long = "n".repeat(100);
        let ids: HashSet<_> = names.iter().map(|(proxy, toxic)| rule_id(proxy, toxic, &mut taken)).collect();
        assert_eq!(ids.len(), 5, "{ids:?}");
        assert!(rule_id(&long, &long, &mut taken).len() <= ID_CHARS);
    }

    #[test]
    fn names_in_paths_are_decoded() {
        assert_eq!(decoded("a%20b%2"), "a b%2");
        assert_eq!(decoded("%C3%A4"), "ä");
    }
}
