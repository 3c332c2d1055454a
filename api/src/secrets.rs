//! The secrets that the API makes: each is shown once, and rests as a hash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bursar_net::Entropy;
use bursar_wire::Secret;

const SECRET_BYTES: usize = 32;
const TOKEN_PREFIX: &str = "bursar_";

/// A fresh bearer token: 256 random bits behind a prefix by which scanners for leaked secrets know it.
pub fn mint_token(entropy: &dyn Entropy) -> Secret {
    Secret::new(format!("{TOKEN_PREFIX}{}", random(entropy)))
}

/// The secret of a fresh invitation of an authority node: 256 random bits.
pub fn mint_invitation_secret(entropy: &dyn Entropy) -> Secret {
    Secret::new(random(entropy))
}

fn random(entropy: &dyn Entropy) -> String {
    URL_SAFE_NO_PAD.encode(entropy.array::<SECRET_BYTES>())
}
