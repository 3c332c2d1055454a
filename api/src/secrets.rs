//! The secrets that the API makes: each is shown once, and rests as a hash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bursar_domain::RequestId;
use bursar_net::Entropy;
use bursar_wire::Secret;

const SECRET_BYTES: usize = 32;
const TOKEN_PREFIX: &str = "bursar_";

/// A fresh bearer token: 256 random bits behind a prefix by which scanners for leaked secrets know it.
pub fn mint_token(entropy: &dyn Entropy) -> Secret {
    Secret::new(format!("{TOKEN_PREFIX}{}", random(entropy)))
}

/// The secret of the first administrator's token, as the claim with this setup secret and request id always gives it.
pub fn claimed_token(setup_secret: &Secret, request: &RequestId) -> Secret {
    let key = blake3::derive_key("bursar 2026 first administrator's token", setup_secret.expose().as_bytes());
    let derived = blake3::keyed_hash(&key, request.as_str().as_bytes());
    Secret::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(derived.as_bytes())))
}

/// The secret of a fresh invitation of an authority node: 256 random bits.
pub fn mint_invitation_secret(entropy: &dyn Entropy) -> Secret {
    Secret::new(random(entropy))
}

fn random(entropy: &dyn Entropy) -> String {
    URL_SAFE_NO_PAD.encode(entropy.array::<SECRET_BYTES>())
}
