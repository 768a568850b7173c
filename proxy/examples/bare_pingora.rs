//! Pingora's own proxy and nothing else: what `benches/proxy_vs_pingora` compares with.
//!
//! The same allocator, threads and settings as `squall proxy`, with pingora's own listener and its hooks left empty.
//!
//! ```text
//! bare_pingora 127.0.0.1:8080 127.0.0.1:9000 1        where to listen, where requests go, threads
//! ```

use std::net::SocketAddr;

use async_trait::async_trait;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::Result;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Bare {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, upstream, threads] = words.as_slice() else {
        panic!("wants: where to listen, where requests go, and how many threads");
    };
    let conf = ServerConf {
        threads: threads.parse().expect("a number of threads"),
        work_stealing: false,
        upstream_keepalive_pool_size: 4096,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let bare = Bare { upstream: upstream.parse().expect("an address") };
    let mut service = http_proxy_service(&server.configuration, bare);
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever();
}
