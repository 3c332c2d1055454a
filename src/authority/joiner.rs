//! What a machine that joins keeps until it is a member: `joining`.
//!
//! ```text
//! store id, 32 hexadecimal digits
//! private key, PEM
//! ```

use bursar_domain::StoreId;
use bursar_net::NodeKey;
use zeroize::Zeroizing;

/// The store id and the key of a node that joins.
pub(super) struct Joiner {
    pub(super) store: StoreId,
    pub(super) key: NodeKey,
}

/// A text that is no joiner.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DamagedJoiner;

impl Joiner {
    /// As it rests.
    pub(super) fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\n{}", self.store, *self.key.to_pem()))
    }

    /// What [`to_text`](Self::to_text) made.
    pub(super) fn from_text(text: &str) -> Result<Self, DamagedJoiner> {
        let (store, key) = text.split_once('\n').ok_or(DamagedJoiner)?;
        let store = store.parse().map_err(|_| DamagedJoiner)?;
        let key = NodeKey::from_pem(key).map_err(|_| DamagedJoiner)?;
        Ok(Self { store, key })
    }
}
