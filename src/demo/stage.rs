//! The shop and the proxy in front of it, both in this process, on free loopback ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use proxy::{Config, EdgeConfig, FinalBooks, Upstream};

use super::Error;
use super::folder::Folder;
use super::interrupt::Interrupt;
use crate::shop;

/// The shop, open until the demo ends.
pub(super) struct Stage {
    shop: shop::Running,
    upstream: Upstream,
}

/// A proxy in front of the shop, and where it listens.
pub(super) struct Front {
    running: proxy::Running,
    /// Where shoppers and replays come in.
    pub(super) edge: SocketAddr,
    /// Its admin API.
    pub(super) admin: SocketAddr,
}

/// Where a proxy is to listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doors {
    pub(super) edge: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Stage {
    pub(super) fn open(seed: u64) -> Result<Stage, Error> {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() / 4);
        let shop = shop::start(&shop::Config::new(ANY_PORT, threads, seed))?;
        let upstream = Upstream::resolve(&format!("http://{}", shop.addr()))?;
        Ok(Stage { shop, upstream })
    }

    /// URL of the shop.
    pub(super) fn shop_url(&self) -> &str {
        &self.upstream.url
    }

    /// A proxy that records to `capture`.
    pub(super) fn recording(&self, capture: PathBuf) -> Result<Front, Error> {
        let mut config = self.config(Doors { edge: ANY_PORT, admin: ANY_PORT });
        config.record = Some(capture);
        Front::start(config)
    }

    /// A proxy that watches the rule file of `folder`, on the same doors as the one before, if there was one.
    pub(super) fn injecting(&self, folder: &Folder, doors: Option<Doors>) -> Result<Front, Error> {
        let mut config = self.config(doors.unwrap_or(Doors { edge: ANY_PORT, admin: ANY_PORT }));
        config.rules = Some(folder.rules());
        config.ledger = Some(folder.ledger());
        Front::start(config)
    }

    /// Closes the shop.
    pub(super) fn close(self) -> shop::Counts {
        self.shop.stop()
    }

    fn config(&self, doors: Doors) -> Config {
        let edge = EdgeConfig {
            name: "default".to_owned(),
            listen: doors.edge,
            tls: false,
            upstream: self.upstream.clone(),
            others: Vec::new(),
        };
        Config { admin: doors.admin, ..Config::new(vec![edge]) }
    }
}

impl Front {
    fn start(config: Config) -> Result<Front, Error> {
        let running = proxy::start(config)?;
        let edge = running.edges().first().map(|(_, addr)| *addr).expect("the configuration has one edge");
        Ok(Front { edge, admin: running.admin(), running })
    }

    pub(super) fn doors(&self) -> Doors {
        Doors { edge: self.edge, admin: self.admin }
    }

    /// Lets what is under way finish, and closes the files.
    pub(super) fn close(self, interrupt: &Interrupt) -> FinalBooks {
        self.running.stop(|| interrupt.is_asked())
    }
}

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
