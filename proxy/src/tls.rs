//! Certificates, both ways.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio_rustls::TlsAcceptor;

use crate::Error;
use crate::config::TlsFiles;

/// What the listeners do TLS with: HTTP/2 and HTTP/1.1 by ALPN.
///
/// # Errors
/// A file that is missing, holds no certificate or key, or a pair that does not match.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, Error> {
    let certs = certificates(&files.cert)?;
    let wrong = |why: String| Error::Config(format!("--tls-key {}: {why}", files.key.display()));
    let mut reader = open(&files.key)?;
    let key = rustls_pemfile::private_key(&mut reader)
        .map_err(|error| wrong(error.to_string()))?
        .ok_or_else(|| wrong("holds no private key in PEM form".into()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .map_err(|error| wrong(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Certificates of a PEM file.
///
/// # Errors
/// The file is missing or holds none.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut reader = open(path)?;
    let certs: Result<Vec<_>, _> = rustls_pemfile::certs(&mut reader).collect();
    let certs = certs.map_err(|error| Error::Config(format!("{}: {error}", path.display())))?;
    if certs.is_empty() {
        return Err(Error::Config(format!("{}: holds no certificate in PEM form", path.display())));
    }
    Ok(certs)
}

fn open(path: &Path) -> Result<BufReader<File>, Error> {
    let file = File::open(path).map_err(|error| Error::Config(format!("{}: {error}", path.display())))?;
    Ok(BufReader::new(file))
}

/// The authorities that upstream certificates are checked against, as pingora wants them: a file. Where the machine
/// has none at all pingora would panic at the start, even for clear-text upstreams; it gets an authority that
/// vouches for nobody.
///
/// # Errors
/// The file asked for cannot be read, or a stand-in cannot be written.
pub(crate) fn upstream_authorities(asked: Option<&Path>) -> Result<Option<String>, Error> {
    if let Some(path) = asked {
        certificates(path)?;
        return Ok(Some(path.display().to_string()));
    }
    let found = rustls_native_certs::load_native_certs();
    if !found.certs.is_empty() {
        return Ok(None);
    }
    tracing::warn!("this machine has no certificate authorities: https upstreams need --upstream-ca");
    let path = std::env::temp_dir().join(format!("squall-no-authority-{}.pem", std::process::id()));
    let written = File::create(&path).and_then(|mut file| file.write_all(NOBODY.as_bytes()));
    written.map_err(|source| Error::File { path: path.clone(), source })?;
    Ok(Some(path.display().to_string()))
}

/// A self-signed certificate whose key was thrown away; no server can have one that it signed.
const NOBODY: &str = include_str!("nobody.pem");
