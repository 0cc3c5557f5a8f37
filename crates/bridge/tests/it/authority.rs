//! A certificate authority of our own, and a TLS door before a server that has none.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority whose files lie in a folder.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(crate) ca_file: PathBuf,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Key, certificate and authority in one file, as Kafka wants them.
    pub(crate) store: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("the parameters are sound");
        let ca_file = folder.join(format!("{name}.pem"));
        fs::write(&ca_file, certificate.pem()).expect("the folder is ours");
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key), ca_file }
    }

    /// Certifies `name`, which answers to these hosts.
    pub(crate) fn identity(&self, name: &str, hosts: &[&str]) -> Identity {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("the hosts are names or addresses");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters are sound");
        let path = |end: &str| self.folder.join(format!("{name}.{end}"));
        let identity =
            Identity { certificate: path("crt"), key: path("key"), store: path("store.pem") };
        let authority = fs::read_to_string(&self.ca_file).expect("it was written before");
        let store = format!("{}{}{authority}", key.serialize_pem(), certificate.pem());
        fs::write(&identity.certificate, certificate.pem()).expect("the folder is ours");
        fs::write(&identity.key, key.serialize_pem()).expect("the folder is ours");
        fs::write(&identity.store, store).expect("the folder is ours");
        identity
    }
}

/// Takes TLS connections and passes what they carry on to a server without TLS.
pub(crate) struct Door {
    pub(crate) port: u16,
    _tasks: JoinSet<()>,
}

impl Door {
    /// With `clients_of`, only those come in whom this authority has certified.
    pub(crate) async fn start(
        target: SocketAddr,
        identity: &Identity,
        clients_of: Option<&Authority>,
    ) -> Self {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring knows them");
        let config = match clients_of {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                let ca = CertificateDer::from_pem_file(&authority.ca_file).expect("our own file");
                roots.add(ca).expect("an authority");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().expect("it has a root"))
            }
        };
        let chain =
            vec![CertificateDer::from_pem_file(&identity.certificate).expect("our own file")];
        let key = PrivateKeyDer::from_pem_file(&identity.key).expect("our own file");
        let config = config.with_single_cert(chain, key).expect("the key fits");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, acceptor, target));
        Self { port, _tasks: tasks }
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, target: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            // Who does not pass the door, or leaves, is gone: that is what the tests look at.
            if let Ok(mut inside) = acceptor.accept(stream).await
                && let Ok(mut server) = TcpStream::connect(target).await
            {
                tokio::io::copy_bidirectional(&mut inside, &mut server).await.ok();
            }
        });
    }
}
