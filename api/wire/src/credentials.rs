//! What somebody must know to use a cluster, in one file: `bursar demo` writes it, `bursar login` takes it.

use serde::{Deserialize, Serialize};

use crate::Secret;

/// Where a cluster answers, and a token that it knows. A file with it is for its owner alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The API of one node, for programs that know one alone.
    pub url: String,
    /// The APIs of all nodes.
    pub urls: Vec<String>,
    /// The token.
    pub token: Secret,
}
