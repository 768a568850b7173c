//! Certificates made for the test, and clients that trust them.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use proxy::TlsFiles;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::{Client, connect};

/// A key pair for `localhost`, on disk for the proxy and in memory for clients.
pub(crate) struct Identity {
    pub(crate) files: TlsFiles,
    roots: RootCertStore,
}

pub(crate) type TlsClient = Client<StreamOwned<ClientConnection, TcpStream>>;

impl Identity {
    pub(crate) fn create(folder: &Path) -> Identity {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        std::fs::write(&files.cert, made.cert.pem()).expect("written");
        std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        Identity { files, roots }
    }

    pub(crate) fn config(&self, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// An HTTP/1.1 connection under TLS, handshake done.
    pub(crate) fn client(&self, addr: SocketAddr) -> TlsClient {
        self.client_of(addr, b"http/1.1")
    }

    /// A connection of this protocol, byte for byte the test's to speak.
    pub(crate) fn client_of(&self, addr: SocketAddr, protocol: &[u8]) -> TlsClient {
        let mut tcp = connect(addr);
        let mut session = ClientConnection::new(self.config(&[protocol]), name()).expect("a session");
        while session.is_handshaking() {
            session.complete_io(&mut tcp).expect("a handshake");
        }
        assert_eq!(session.alpn_protocol(), Some(protocol));
        Client { stream: StreamOwned::new(session, tcp), buffer: Vec::new() }
    }
}

pub(crate) fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}
