//! `squall shop`: the sample system under test on its own.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::cli::stop::Stop;
use crate::shop;

/// Run the sample shop that the demo uses: accounts, sessions, carts, orders and an event stream.
///
/// It counts every request it is sent; GET /_shop/count tells, and is not counted itself.
#[derive(Debug, clap::Args)]
pub(crate) struct ShopArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Worker threads (1 to 64).
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// Derive account numbers and session ids from this, so that a run can be repeated. Absent: random.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Open it with something wrong, to see whether that is found; may be given several times.
    #[arg(long, value_name = "NAME", value_enum)]
    defect: Vec<shop::Defect>,
    /// Be the shop, or one of the services behind one: payments takes POST /charge, search takes GET /search?q=.
    #[arg(long, value_enum, value_name = "ROLE", default_value = "shop")]
    role: shop::Role,
    /// Have every checkout charged there (POST /charge); its failure is a 502 of the shop, its silence a 504.
    #[arg(long, value_name = "URL", value_parser = shop::parse_address)]
    payments: Option<hyper::Uri>,
    /// Have products searched there (GET /api/products?q=… becomes GET /search?q=…).
    #[arg(long, value_name = "URL", value_parser = shop::parse_address)]
    search: Option<hyper::Uri>,
    /// Hold each checkout (charge, search) back so long: slowness that is there to be found.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    delay: Duration,
}

/// Serves until Ctrl-C or SIGTERM, then prints what was counted.
pub(crate) fn run(args: &ShopArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut stop = runtime.block_on(async { Stop::listen() }).context("cannot listen for signals")?;
    let seed = args.seed.unwrap_or_else(|| RandomState::new().hash_one("shop"));
    let neighbours = shop::Addresses { payments: args.payments.clone(), search: args.search.clone() };
    let called = neighbours.payments.is_some() || neighbours.search.is_some();
    anyhow::ensure!(
        args.role == shop::Role::Shop || !called,
        "only the shop calls others: leave out --payments and --search, or --role"
    );
    let config = shop::Config {
        role: args.role,
        neighbours,
        delay: args.delay,
        defects: args.defect.clone(),
        ..shop::Config::new(args.listen, args.threads.into(), seed)
    };
    let running = shop::start(&config)?;
    // A reader who left is no reason to stop.
    let _ = writeln!(std::io::stdout(), "shop listening on http://{}", running.addr());
    runtime.block_on(stop.asked());
    let counts = serde_json::to_string_pretty(&running.stop())?;
    let _ = writeln!(std::io::stdout(), "{counts}");
    Ok(ExitCode::SUCCESS)
}

pub(crate) const EXAMPLES: &str = "Examples:
  squall shop --listen 127.0.0.1:9000
  squall proxy --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000 --record capture.zst    in front of it
  curl 127.0.0.1:9000/_shop/count                                                               what it was sent
  squall shop --defect slow-shard                     with something wrong on purpose (/_shop/harmed tells what it hit)
  curl 127.0.0.1:9000/metrics                         its memory, for replay --origin-metrics
  squall shop --role payments --listen 127.0.0.1:9100 --delay 300ms                             a slow service behind it
  squall shop --payments http://127.0.0.1:9100                                                  a shop that calls it";
