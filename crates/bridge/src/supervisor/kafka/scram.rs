//! The client's side of SCRAM (RFC 5802, 7677): a password is proved without being sent, and the
//! server proves that it knows it too.

use std::num::NonZeroU32;

use data_encoding::BASE64;
use ring::{digest, hmac, pbkdf2};

/// Kafka's own limits for what it stores are 4,096 and 16,384; a broker that asks for very much more
/// only wants our time.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4_096..=1_000_000;

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

/// Why a broker is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramError {
    #[error("the broker refuses the login: {0}")]
    Refused(String),
    #[error("the broker's part of SCRAM makes no sense")]
    Nonsense,
    #[error("the broker asks for {0} iterations, not 4096 to 1000000")]
    Iterations(u32),
    #[error("the broker does not prove that it knows the password")]
    Impostor,
}

/// A login under way.
pub(super) struct Exchange {
    hash: Hash,
    nonce: String,
    /// Without the header that says that there is no channel binding.
    first: String,
}

/// What the broker has to say at the end.
pub(super) struct Expected {
    server_key: hmac::Key,
    exchanged: String,
}

impl Exchange {
    /// `nonce` is never used twice, and has no comma.
    pub(super) fn new(hash: Hash, user: &str, nonce: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { hash, nonce: nonce.to_owned(), first: format!("n={user},r={nonce}") }
    }

    /// What is said first.
    pub(super) fn begin(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// The proof, and what must come back for it.
    ///
    /// # Errors
    /// When what the broker has said is none of SCRAM.
    pub(super) fn prove(
        &self,
        password: &str,
        server_first: &str,
    ) -> Result<(String, Expected), ScramError> {
        let (nonce, salt, iterations) = read_first(server_first)?;
        // Else somebody plays back another login.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonsense);
        }
        let count = NonZeroU32::new(iterations).filter(|count| ITERATIONS.contains(&count.get()));
        let count = count.ok_or(ScramError::Iterations(iterations))?;
        let (derivation, mac, hash) = self.hash.functions();
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(derivation, count, &salt, password.as_bytes(), &mut salted);
        let salted = hmac::Key::new(mac, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored = digest::digest(hash, client_key.as_ref());
        // "biws" is the header again, as BASE64.
        let last = format!("c=biws,r={nonce}");
        let exchanged = format!("{},{server_first},{last}", self.first);
        let signature = hmac::sign(&hmac::Key::new(mac, stored.as_ref()), exchanged.as_bytes());
        let proof =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign);
        let proof = BASE64.encode(&proof.collect::<Vec<_>>());
        let server_key = hmac::Key::new(mac, hmac::sign(&salted, b"Server Key").as_ref());
        Ok((format!("{last},p={proof}"), Expected { server_key, exchanged }))
    }
}

impl Expected {
    /// # Errors
    /// When the broker does not know the password.
    pub(super) fn verify(&self, server_last: &str) -> Result<(), ScramError> {
        let first = server_last.split(',').next().unwrap_or_default();
        if let Some(why) = first.strip_prefix("e=") {
            return Err(ScramError::Refused(why.to_owned()));
        }
        let signature = first.strip_prefix("v=").ok_or(ScramError::Nonsense)?;
        let signature = BASE64.decode(signature.as_bytes()).or(Err(ScramError::Nonsense))?;
        hmac::verify(&self.server_key, self.exchanged.as_bytes(), &signature)
            .or(Err(ScramError::Impostor))
    }
}

impl Hash {
    fn functions(self) -> (pbkdf2::Algorithm, hmac::Algorithm, &'static digest::Algorithm) {
        match self {
            Self::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256),
            Self::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, hmac::HMAC_SHA512, &digest::SHA512),
        }
    }
}

/// Nonce, salt, iterations.
fn read_first(said: &str) -> Result<(&str, Vec<u8>, u32), ScramError> {
    if let Some(why) = said.strip_prefix("e=") {
        return Err(ScramError::Refused(why.to_owned()));
    }
    let mut parts = said.split(',');
    let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
    let (nonce, salt, iterations) = (part("r="), part("s="), part("i="));
    let salt = salt.and_then(|salt| BASE64.decode(salt.as_bytes()).ok());
    let iterations = iterations.and_then(|count| count.parse().ok());
    nonce
        .zip(salt)
        .zip(iterations)
        .map(|((nonce, salt), iterations)| (nonce, salt, iterations))
        .ok_or(ScramError::Nonsense)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    /// The example of RFC 7677.
    #[test]
    fn the_example_of_the_standard_comes_out() {
        let exchange = Exchange::new(Hash::Sha256, "user", NONCE);
        assert_eq!(exchange.begin(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (said, expected) = exchange.prove("pencil", SERVER_FIRST).unwrap();
        assert_eq!(
            said,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let last = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(expected.verify(last), Ok(()));
        let other = "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(expected.verify(other), Err(ScramError::Impostor));
        assert_eq!(
            expected.verify("e=invalid-proof"),
            Err(ScramError::Refused("invalid-proof".to_owned()))
        );
        assert_eq!(expected.verify(""), Err(ScramError::Nonsense));
    }

    #[test]
    fn a_broker_that_makes_no_sense_gets_no_proof() {
        let exchange = Exchange::new(Hash::Sha512, "a=b,c", NONCE);
        assert_eq!(exchange.begin(), format!("n,,n=a=3Db=2Cc,r={NONCE}"));
        let prove = |said: &str| exchange.prove("p", said).err();
        for said in [
            "",
            "r=another,s=W22Z,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=many",
        ] {
            assert_eq!(prove(said), Some(ScramError::Nonsense), "{said}");
        }
        for (said, count) in [("0", 0), ("4095", 4_095), ("4294967295", u32::MAX)] {
            let said = format!("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i={said}");
            assert_eq!(prove(&said), Some(ScramError::Iterations(count)));
        }
    }
}
