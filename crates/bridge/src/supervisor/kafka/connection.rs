//! A connection to one broker: TLS and a login where they are wanted, then requests.

use std::io;
use std::sync::Arc;

use data_encoding::BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::scram::Exchange;
use super::security::{Login, Mechanism, Security};
use super::wire::{
    Api, SASL_AUTHENTICATE, SASL_HANDSHAKE, put_text, read_authenticated, read_handshake,
    sasl_authenticate, sasl_handshake,
};

/// Largest answer: a few names.
const MOST_BYTES: i32 = 1 << 20;
const CLIENT: &str = "data-bridge-supervisor";
/// Where a broker listens that is named without a port.
const DEFAULT_PORT: u16 = 9092;

/// With and without TLS.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// One broker, ready to be asked.
pub(super) struct Connection {
    stream: Box<dyn Duplex>,
    correlation: i32,
}

impl Connection {
    /// To `host:port`, with all that the broker wants before the first request.
    ///
    /// # Errors
    /// When the broker does not answer, is not believed or does not believe us.
    pub(super) async fn open(broker: &str, security: &Security) -> io::Result<Self> {
        let (host, port) = parts(broker)?;
        let socket = TcpStream::connect((host, port)).await?;
        let stream: Box<dyn Duplex> = match &security.tls {
            None => Box::new(socket),
            Some(config) => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                let connector = TlsConnector::from(Arc::clone(config));
                Box::new(connector.connect(name, socket).await?)
            }
        };
        let mut connection = Self { stream, correlation: 0 };
        if let Some(login) = &security.login {
            connection.log_in(login).await?;
        }
        Ok(connection)
    }

    /// One request; the body of the answer.
    ///
    /// # Errors
    /// When the connection ends, or what answers is no broker.
    pub(super) async fn ask(&mut self, api: Api, body: &[u8]) -> io::Result<Vec<u8>> {
        self.correlation += 1;
        let mut request = vec![0; 4];
        request.extend(api.key.to_be_bytes());
        request.extend(api.version.to_be_bytes());
        request.extend(self.correlation.to_be_bytes());
        put_text(&mut request, CLIENT);
        request.extend_from_slice(body);
        let length = i32::try_from(request.len() - 4).map_err(io::Error::other)?;
        request[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&request).await?;
        self.stream.flush().await?;
        let length = self.stream.read_i32().await?;
        if !(4..=MOST_BYTES).contains(&length) {
            return Err(cut());
        }
        if self.stream.read_i32().await? != self.correlation {
            return Err(cut());
        }
        let mut answer = vec![0; usize::try_from(length - 4).map_err(io::Error::other)?];
        self.stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    async fn log_in(&mut self, login: &Login) -> io::Result<()> {
        let mechanism = login.mechanism.name();
        let answer = self.ask(SASL_HANDSHAKE, &sasl_handshake(mechanism)).await?;
        if let Err(others) = read_handshake(&answer).ok_or_else(cut)? {
            let others = others.join(", ");
            let what = format!("the broker does not take {mechanism}, but {others}");
            return Err(io::Error::other(what));
        }
        let password = login.password.expose();
        match login.mechanism {
            Mechanism::Plain => {
                self.say(format!("\0{}\0{password}", login.user).as_bytes()).await?;
            }
            Mechanism::Scram(hash) => {
                let exchange = Exchange::new(hash, &login.user, &nonce()?);
                let said = self.say(exchange.begin().as_bytes()).await?;
                let proved = exchange.prove(password, &said);
                let (proof, expected) = proved.map_err(io::Error::other)?;
                let said = self.say(proof.as_bytes()).await?;
                expected.verify(&said).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    async fn say(&mut self, words: &[u8]) -> io::Result<String> {
        let answer = self.ask(SASL_AUTHENTICATE, &sasl_authenticate(words)).await?;
        match read_authenticated(&answer).ok_or_else(cut)? {
            Ok(said) => String::from_utf8(said).map_err(io::Error::other),
            Err(why) => Err(io::Error::other(format!("the broker refuses the login: {why}"))),
        }
    }
}

impl Mechanism {
    fn name(self) -> &'static str {
        use super::scram::Hash;
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Self::Scram(Hash::Sha512) => "SCRAM-SHA-512",
        }
    }
}

pub(super) fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer that is none of Kafka's")
}

/// 144 random bits as text without a comma.
fn nonce() -> io::Result<String> {
    let mut bytes = [0; 18];
    let random = SystemRandom::new().fill(&mut bytes);
    random.map_err(|_unspecified| io::Error::other("the system has no random bytes"))?;
    Ok(BASE64.encode(&bytes))
}

/// Host and port of a broker as librdkafka reads it: with a listener's name before it, or without a
/// port.
fn parts(broker: &str) -> io::Result<(&str, u16)> {
    let address = broker.split_once("://").map_or(broker, |(_, address)| address);
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    match port.map(str::parse) {
        None => Ok((host, DEFAULT_PORT)),
        Some(Ok(port)) => Ok((host, port)),
        Some(Err(error)) => Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_named_as_librdkafka_takes_them() {
        for (named, host, port) in [
            ("kafka-1:9093", "kafka-1", 9093),
            ("SASL_SSL://kafka-1:9093", "kafka-1", 9093),
            ("kafka-1", "kafka-1", 9092),
            ("[::1]:9093", "::1", 9093),
            ("[::1]", "::1", 9092),
        ] {
            assert_eq!(parts(named).unwrap(), (host, port));
        }
        assert!(parts("kafka-1:port").is_err());
    }
}
