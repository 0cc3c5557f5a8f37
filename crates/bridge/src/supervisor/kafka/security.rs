//! How brokers are reached: TLS and logins, by librdkafka's own words for them in
//! `kafka.properties`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::scram::Hash;
use crate::config::Secret;

/// `kafka.properties`.
pub(super) type Properties = BTreeMap<String, Secret>;

/// What a connection begins with.
#[derive(Debug)]
pub(super) struct Security {
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) login: Option<Login>,
}

/// Who we are.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) mechanism: Mechanism,
    pub(super) user: String,
    pub(super) password: Secret,
}

/// How it is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Scram(Hash),
}

/// Why brokers cannot be reached as `kafka.properties` want it.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// librdkafka can do it, this program's own requests cannot.
    #[error("{property} is not spoken here")]
    Unspoken {
        /// The property, with its value where that is no secret.
        property: String,
    },
    /// Neither can.
    #[error("{property}: {reason}")]
    Unfit {
        /// The property.
        property: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

const PROTOCOL: &str = "security.protocol";
const CA_FILE: &str = "ssl.ca.location";
const CA_TEXT: &str = "ssl.ca.pem";
const CERTIFICATE: [&str; 2] = ["ssl.certificate.location", "ssl.certificate.pem"];
const KEY: [&str; 2] = ["ssl.key.location", "ssl.key.pem"];
/// Where a connection would be less secure than librdkafka's, or none at all.
const UNSPOKEN: [&str; 3] = ["ssl.keystore.location", "ssl.engine.location", "ssl.crl.location"];

impl Security {
    /// Reads certificates and passwords anew: they may have been renewed.
    ///
    /// # Errors
    /// [`SecurityError`], with the property.
    pub(super) fn read(properties: &Properties) -> Result<Self, SecurityError> {
        let protocol = text(properties, PROTOCOL).unwrap_or("plaintext").to_ascii_lowercase();
        let (tls, login) = match protocol.as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            other => {
                return Err(SecurityError::Unspoken { property: format!("{PROTOCOL}: {other}") });
            }
        };
        Ok(Self {
            tls: tls.then(|| read_tls(properties)).transpose()?.map(Arc::new),
            login: login.then(|| read_login(properties)).transpose()?,
        })
    }
}

fn text<'p>(properties: &'p Properties, name: &str) -> Option<&'p str> {
    properties.get(name).map(Secret::expose).filter(|value| !value.is_empty())
}

fn read_login(properties: &Properties) -> Result<Login, SecurityError> {
    let mechanism = text(properties, "sasl.mechanisms")
        .or(text(properties, "sasl.mechanism"))
        .unwrap_or("GSSAPI");
    let mechanism = match mechanism.to_ascii_uppercase().as_str() {
        "PLAIN" => Mechanism::Plain,
        "SCRAM-SHA-256" => Mechanism::Scram(Hash::Sha256),
        "SCRAM-SHA-512" => Mechanism::Scram(Hash::Sha512),
        other => {
            return Err(SecurityError::Unspoken { property: format!("sasl.mechanism: {other}") });
        }
    };
    let password = properties.get("sasl.password").cloned().unwrap_or_default();
    let again = password.read_again();
    let again =
        again.map_err(|reason| SecurityError::Unfit { property: "sasl.password", reason })?;
    Ok(Login {
        mechanism,
        user: text(properties, "sasl.username").unwrap_or_default().to_owned(),
        password: again.unwrap_or(password),
    })
}

fn read_tls(properties: &Properties) -> Result<ClientConfig, SecurityError> {
    if let Some(name) = UNSPOKEN.iter().find(|name| text(properties, name).is_some()) {
        return Err(SecurityError::Unspoken { property: (*name).to_owned() });
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(PROTOCOL, &error))?;
    let is_off = |name: &str, word: &str| {
        text(properties, name).is_some_and(|value| value.eq_ignore_ascii_case(word))
    };
    let builder = if is_off("enable.ssl.certificate.verification", "false") {
        let lax = Lax { chain: None, algorithms: provider.signature_verification_algorithms };
        builder.dangerous().with_custom_certificate_verifier(Arc::new(lax))
    } else if is_off("ssl.endpoint.identification.algorithm", "none") {
        let lax = Lax::of_any_name(authorities(properties)?, provider)?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(lax))
    } else {
        builder.with_root_certificates(authorities(properties)?)
    };
    let Some((property, chain)) = pem(properties, CERTIFICATE)? else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(property, &chain)?;
    let Some((property, key)) = pem(properties, KEY)? else {
        return Err(unfit(KEY[0], &"there is a certificate, but no key"));
    };
    let key = PrivateKeyDer::from_pem_slice(&key);
    let key =
        key.map_err(|error| unfit(property, &format!("no key in PEM that is open: {error}")))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| unfit(property, &error))
}

fn unfit(property: &'static str, reason: &impl ToString) -> SecurityError {
    SecurityError::Unfit { property, reason: reason.to_string() }
}

/// Whom to believe: as configured, else as the system does.
fn authorities(properties: &Properties) -> Result<RootCertStore, SecurityError> {
    let mut store = RootCertStore::empty();
    let (property, found) = if let Some(pem) = text(properties, CA_TEXT) {
        (CA_TEXT, certificates(CA_TEXT, pem.as_bytes())?)
    } else if let Some(path) = text(properties, CA_FILE).filter(|path| *path != "probe") {
        (CA_FILE, of_path(Path::new(path))?)
    } else {
        (CA_FILE, rustls_native_certs::load_native_certs().certs)
    };
    // A system's collection may hold old ones that nobody reads any more.
    let (read, _unread) = store.add_parsable_certificates(found);
    if read == 0 {
        return Err(unfit(property, &"names no authority to believe"));
    }
    Ok(store)
}

/// Of a file, or of all files of a folder.
fn of_path(path: &Path) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let fail = |error: std::io::Error| unfit(CA_FILE, &format!("{}: {error}", path.display()));
    if !path.is_dir() {
        return certificates(CA_FILE, &std::fs::read(path).map_err(fail)?);
    }
    let mut found = Vec::new();
    for entry in path.read_dir().map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        if file.is_file() {
            found.extend(certificates(CA_FILE, &std::fs::read(file).map_err(fail)?)?);
        }
    }
    Ok(found)
}

/// The first of two properties that is set, a path and the text itself, and what it holds.
fn pem(
    properties: &Properties,
    [path, inline]: [&'static str; 2],
) -> Result<Option<(&'static str, Vec<u8>)>, SecurityError> {
    if let Some(pem) = text(properties, inline) {
        return Ok(Some((inline, pem.as_bytes().to_vec())));
    }
    let Some(file) = text(properties, path) else {
        return Ok(None);
    };
    let pem = std::fs::read(file).map_err(|error| unfit(path, &format!("{file}: {error}")))?;
    Ok(Some((path, pem)))
}

fn certificates(
    property: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unfit(property, &format!("no certificates in PEM: {error}")))
}

/// Looks at less than all of a broker's certificate, where `kafka.properties` want that.
#[derive(Debug)]
struct Lax {
    /// Who must have certified it, for whatever name; nobody.
    chain: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Lax {
    fn of_any_name(
        authorities: RootCertStore,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, SecurityError> {
        let algorithms = provider.signature_verification_algorithms;
        let chain =
            WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider).build();
        Ok(Self { chain: Some(chain.map_err(|error| unfit(CA_FILE, &error))?), algorithms })
    }
}

impl ServerCertVerifier for Lax {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        // The name is looked at last.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                NotValidForName | NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(properties: &[(&str, &str)]) -> Result<Security, SecurityError> {
        let properties =
            properties.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
        Security::read(&properties.collect())
    }

    fn refused(properties: &[(&str, &str)]) -> String {
        read(properties).expect_err("it is not refused").to_string()
    }

    #[test]
    fn what_librdkafka_can_do_and_we_cannot_is_named() {
        for (properties, said) in [
            (vec![(PROTOCOL, "sasl_plaintext")], "sasl.mechanism: GSSAPI"),
            (
                vec![(PROTOCOL, "SASL_PLAINTEXT"), ("sasl.mechanism", "OAUTHBEARER")],
                "sasl.mechanism: OAUTHBEARER",
            ),
            (vec![(PROTOCOL, "ssl"), ("ssl.keystore.location", "k.p12")], "ssl.keystore.location"),
        ] {
            assert_eq!(refused(&properties), format!("{said} is not spoken here"));
        }
        let no_file = refused(&[(PROTOCOL, "ssl"), (CA_FILE, "/nowhere/ca.pem")]);
        assert!(no_file.starts_with("ssl.ca.location: /nowhere/ca.pem: "), "{no_file}");
        let empty = refused(&[(PROTOCOL, "ssl"), (CA_TEXT, "nonsense")]);
        assert!(empty.starts_with("ssl.ca.pem: "), "{empty}");
    }

    #[test]
    fn a_login_is_read_as_librdkafka_reads_it() {
        assert!(read(&[]).is_ok_and(|plain| plain.tls.is_none() && plain.login.is_none()));
        let login = read(&[
            (PROTOCOL, "SASL_plaintext"),
            ("sasl.mechanisms", "scram-sha-512"),
            ("sasl.username", "alice"),
            ("sasl.password", "hunter2"),
        ]);
        let login = login.unwrap().login.unwrap();
        assert_eq!(login.mechanism, Mechanism::Scram(Hash::Sha512));
        assert_eq!((login.user.as_str(), login.password.expose()), ("alice", "hunter2"));
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
