//! Proxies: the edges, as Toxiproxy sees them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::shapes::{Problem, ProxyIn, ProxyOut, read};
use super::{Made, Said, check_name};
use crate::TcpEdgeConfig;
use crate::admin::{Answer, replies};
use crate::listen;
use crate::shared::Shared;
use crate::sync::lock;
use crate::tcp::{TcpEdge, host_and_port};

/// An edge of either kind.
pub(super) enum Proxy {
    Tcp(Arc<TcpEdge>),
    /// Place in the proxy's list.
    Http(usize),
}

/// What a proxy is to become.
struct Wanted {
    listen: SocketAddr,
    upstream: String,
    enabled: bool,
}

pub(super) fn find(shared: &Shared, name: &str) -> Result<Proxy, Problem> {
    if let Some(edge) = shared.tcp.get(name) {
        return Ok(Proxy::Tcp(edge));
    }
    let http = shared.edges.iter().position(|edge| &*edge.name == name);
    http.map(Proxy::Http).ok_or_else(Problem::no_proxy)
}

impl Proxy {
    fn told(&self, made: &Made, shared: &Shared) -> ProxyOut {
        let (name, listen, upstream, enabled) = match self {
            Proxy::Tcp(edge) => {
                (edge.name.to_string(), edge.listen(), edge.upstream().to_string(), edge.is_open())
            }
            Proxy::Http(at) => {
                let edge = &shared.edges[*at];
                let upstream = shared.config.edges[*at].upstream.authority();
                (edge.name.to_string(), edge.listen, upstream, !made.down.contains(&*edge.name))
            }
        };
        let toxics = made.told(&name);
        ProxyOut { listen: listen.to_string(), name, upstream, enabled, toxics }
    }

    fn is(&self, listen: SocketAddr, upstream: &str, shared: &Shared) -> bool {
        match self {
            Proxy::Tcp(edge) => edge.listen() == listen && &*edge.upstream() == upstream,
            Proxy::Http(at) => {
                shared.edges[*at].listen == listen
                    && shared.config.edges[*at].upstream.authority() == upstream
            }
        }
    }
}

pub(super) fn index(shared: &Arc<Shared>) -> Said {
    let made = lock(&shared.toxiproxy.made);
    let http = (0..shared.edges.len()).map(Proxy::Http);
    let all = http.chain(shared.tcp.all().into_iter().map(Proxy::Tcp));
    let told: serde_json::Map<String, Value> =
        all.map(|proxy| proxy.told(&made, shared)).map(|proxy| (proxy.name.clone(), proxy.json())).collect();
    Ok((StatusCode::OK, told.into()))
}

pub(super) fn show(shared: &Arc<Shared>, name: &str) -> Said {
    let made = lock(&shared.toxiproxy.made);
    Ok((StatusCode::OK, find(shared, name)?.told(&made, shared).json()))
}

pub(super) fn create(shared: &Arc<Shared>, body: &[u8]) -> Said {
    let made = lock(&shared.toxiproxy.made);
    let (name, wanted) = described(shared, read(body)?, "")?;
    if find(shared, &name).is_ok() {
        return Err(Problem::conflict("proxy already exists"));
    }
    let edge = add(shared, &name, &wanted)?;
    Ok((StatusCode::CREATED, Proxy::Tcp(edge).told(&made, shared).json()))
}

pub(super) fn update(shared: &Arc<Shared>, name: &str, body: &[u8]) -> Said {
    let mut made = lock(&shared.toxiproxy.made);
    let proxy = find(shared, name)?;
    let is = proxy.told(&made, shared);
    let asked: ProxyIn = read(body)?;
    if asked.name.is_some_and(|asked| asked != name) {
        return Err(Problem::bad("a proxy keeps its name: delete it and make another"));
    }
    let listen = asked.listen.filter(|listen| !listen.is_empty()).unwrap_or(is.listen);
    let upstream = asked.upstream.filter(|upstream| !upstream.is_empty()).unwrap_or(is.upstream);
    let wanted = Wanted {
        listen: listen_addr(shared, &listen)?,
        upstream: host_and_port(&upstream).map_err(|why| Problem::bad(format!("upstream: {why}")))?,
        enabled: asked.enabled.unwrap_or(is.enabled),
    };
    become_as(shared, &mut made, &proxy, &wanted)?;
    Ok((StatusCode::OK, proxy.told(&made, shared).json()))
}

pub(super) fn delete(shared: &Arc<Shared>, name: &str) -> Said {
    let mut made = lock(&shared.toxiproxy.made);
    let edge = match find(shared, name)? {
        Proxy::Tcp(edge) if !edge.is_fixed => edge,
        _ => {
            return Err(Problem::fixed(format!(
                "edge {name} comes from the command line, so it stays; disable it instead"
            )));
        }
    };
    shared.tcp.remove(&edge, shared);
    let mut new = made.clone();
    new.toxics.remove(name);
    new.put_in_force(shared)?;
    *made = new;
    Ok((StatusCode::NO_CONTENT, Value::Null))
}

/// All proxies on, no toxics.
pub(super) fn reset(shared: &Arc<Shared>) -> Said {
    let mut made = lock(&shared.toxiproxy.made);
    let none = Made::default();
    none.put_in_force(shared)?;
    *made = none;
    for edge in shared.tcp.all() {
        edge.enable(shared).map_err(|error| Problem::failed(error.to_string()))?;
    }
    Ok((StatusCode::NO_CONTENT, Value::Null))
}

/// Makes or replaces a list of proxies. All of it is checked before anything is done.
pub(super) fn populate(shared: &Arc<Shared>, body: &[u8]) -> Answer {
    let mut made = lock(&shared.toxiproxy.made);
    let mut done = Vec::new();
    let outcome = checked(shared, body).and_then(|all| {
        for (name, wanted) in &all {
            let proxy = match find(shared, name) {
                Err(_) => Proxy::Tcp(add(shared, name, wanted)?),
                Ok(same) if same.is(wanted.listen, &wanted.upstream, shared) => same,
                Ok(other) => {
                    made.toxics.remove(name);
                    made.put_in_force(shared)?;
                    become_as(shared, &mut made, &other, wanted)?;
                    other
                }
            };
            done.push(proxy.told(&made, shared).json());
        }
        Ok(())
    });
    match outcome {
        Ok(()) => replies::json(StatusCode::CREATED, &json!({ "proxies": done })),
        Err(problem) => {
            let mut told = problem.json();
            told["proxies"] = done.into();
            replies::json(problem.status, &told)
        }
    }
}

fn checked(shared: &Arc<Shared>, body: &[u8]) -> Result<Vec<(String, Wanted)>, Problem> {
    let asked: Vec<ProxyIn> = read(body)?;
    let mut all: Vec<(String, Wanted)> = Vec::new();
    for (at, one) in asked.into_iter().enumerate() {
        let (name, wanted) = described(shared, one, &format!(" at proxy {}", at + 1))?;
        if all.iter().any(|(known, _)| *known == name) {
            return Err(Problem::bad(format!("proxy {name} is listed twice")));
        }
        if let Ok(other @ Proxy::Http(_)) = find(shared, &name)
            && !other.is(wanted.listen, &wanted.upstream, shared)
        {
            return Err(http_stays(&name));
        }
        all.push((name, wanted));
    }
    Ok(all)
}

fn described(shared: &Shared, asked: ProxyIn, place: &str) -> Result<(String, Wanted), Problem> {
    let said = |field: Option<String>| field.filter(|text| !text.is_empty());
    let name = said(asked.name).ok_or_else(|| Problem::missing(&format!("name{place}")))?;
    let upstream = said(asked.upstream).ok_or_else(|| Problem::missing(&format!("upstream{place}")))?;
    check_name("proxy", &name)?;
    let wanted = Wanted {
        listen: listen_addr(shared, &asked.listen.unwrap_or_default())?,
        upstream: host_and_port(&upstream).map_err(|why| Problem::bad(format!("upstream{place}: {why}")))?,
        enabled: asked.enabled.unwrap_or(true),
    };
    Ok((name, wanted))
}

/// Where a proxy may listen: on loopback, or where the rule file lets rules act (`[safety] listen`).
fn listen_addr(shared: &Shared, text: &str) -> Result<SocketAddr, Problem> {
    let addr = match text.strip_prefix(':').unwrap_or(text) {
        "" => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            let port = port.parse().map_err(|_| Problem::bad(format!("listen: `{port}` is no port")))?;
            SocketAddr::from((IpAddr::V4(Ipv4Addr::LOCALHOST), port))
        }
        _ => {
            let found = text.to_socket_addrs();
            let found =
                found.map_err(|error| Problem::bad(format!("listen: `{text}` is no address: {error}")))?;
            let all: Vec<_> = found.collect();
            let first = all.iter().find(|addr| addr.is_ipv4()).or(all.first());
            *first.ok_or_else(|| Problem::bad(format!("listen: `{text}` is no address")))?
        }
    };
    let allowed = &shared.rules.live().set.safety.listen;
    if addr.ip().is_loopback() || allowed.contains(&addr) {
        return Ok(addr);
    }
    Err(Problem::bad(format!(
        "listen: {addr} can be reached from outside; write 127.0.0.1:{}, or allow it in the rule file: \
         [safety] listen = [\"{addr}\"]",
        addr.port()
    )))
}

fn add(shared: &Arc<Shared>, name: &str, wanted: &Wanted) -> Result<Arc<TcpEdge>, Problem> {
    if MOST <= shared.tcp.all().len() {
        return Err(Problem::bad(format!("there are {MOST} proxies already; delete some")));
    }
    let sockets = if wanted.enabled { Some(bind(shared, wanted.listen)?) } else { None };
    let config =
        TcpEdgeConfig { name: name.to_owned(), listen: wanted.listen, upstream: wanted.upstream.clone() };
    let edge = shared.tcp.add(&config, false);
    if let Some(sockets) = sockets {
        edge.start(sockets, shared);
    }
    Ok(edge)
}

/// Makes a proxy what is wanted of it. Where the new place cannot be had, it stays as it was.
fn become_as(shared: &Arc<Shared>, made: &mut Made, proxy: &Proxy, wanted: &Wanted) -> Result<(), Problem> {
    let edge = match proxy {
        Proxy::Tcp(edge) => edge,
        Proxy::Http(at) => {
            let name = shared.edges[*at].name.to_string();
            if !proxy.is(wanted.listen, &wanted.upstream, shared) {
                return Err(http_stays(&name));
            }
            let mut new = made.clone();
            if wanted.enabled {
                new.down.remove(&name);
            } else {
                new.down.insert(name);
            }
            new.put_in_force(shared)?;
            *made = new;
            return Ok(());
        }
    };
    let moves = edge.listen() != wanted.listen;
    if moves || !proxy.is(wanted.listen, &wanted.upstream, shared) {
        let sockets = if moves && wanted.enabled { Some(bind(shared, wanted.listen)?) } else { None };
        edge.relocate(wanted.listen, &wanted.upstream, shared);
        if let Some(sockets) = sockets {
            edge.start(sockets, shared);
        }
    }
    if wanted.enabled {
        edge.enable(shared).map_err(|error| Problem::failed(error.to_string()))?;
    } else {
        edge.disable(shared);
    }
    Ok(())
}

fn bind(shared: &Shared, listen: SocketAddr) -> Result<Vec<std::net::TcpListener>, Problem> {
    listen::sockets(listen, shared.config.threads).map_err(|error| Problem::failed(error.to_string()))
}

fn http_stays(name: &str) -> Problem {
    Problem::fixed(format!(
        "edge {name} speaks HTTP and comes from the command line: it keeps its listen and upstream"
    ))
}

/// Each has a socket for every worker thread.
const MOST: usize = 1_000;
