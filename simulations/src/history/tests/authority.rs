//! An authority of one, for histories to be written about.

use bursar_domain::{
    Actor, ClusterId, Command, Decision, Hash, Level, Proposal, RequestId, StoreId, Submission, Timestamp, TokenId,
    authority_node::Facts, cluster, site, token,
};
use bursar_domain_testing::{Ledger, SETUP_SECRET};

/// Who asks for everything.
pub const ADMINISTRATOR: Actor = Actor::Token(TokenId(1));
/// The revision of a cluster that was founded and has its first token.
pub const FOUNDED: u64 = 4;

/// A ledger, and what was put before it.
#[derive(Clone, Default)]
pub struct Authority {
    pub ledger: Ledger,
    pub proposals: Vec<Proposal>,
}

impl Authority {
    /// A cluster with one administrator.
    pub fn founded() -> Self {
        let mut authority = Self::default();
        let node = Facts {
            store: StoreId([1; 16]),
            peer_address: "n1.example:4283".into(),
            api_address: "n1.example:4285".into(),
            control_address: "n1.example:4288".into(),
            version: "0.1.0".into(),
            supported: Level::FIRST,
        };
        let found = cluster::Command::Found {
            cluster: ClusterId([7; 16]),
            license_key: vec![1; 32],
            ca_certificate: "certificate".into(),
            sealed_ca_key: vec![2; 32],
            setup_secret: Hash::of(SETUP_SECRET),
            node,
        };
        let issue = token::Command::Issue {
            name: "first".into(),
            secret: Hash::of(b"first"),
            expires_at: None,
            setup_secret: Some(Hash::of(SETUP_SECRET)),
        };
        authority.ask(submission(Actor::Founder, "found", Command::Cluster(found)));
        authority.ask(submission(Actor::Founder, "claim", Command::Token(issue)));
        assert_eq!(authority.ledger.state.revision().0, FOUNDED);
        authority
    }

    /// The authority that the proposals alone lead to.
    pub fn of(proposals: Vec<Proposal>) -> Self {
        let mut ledger = Ledger::default();
        for proposal in &proposals {
            ledger.put(proposal);
        }
        Self { ledger, proposals }
    }

    /// Carries a submission out, a millisecond after the last.
    pub fn ask(&mut self, submission: Submission) -> Decision {
        let proposal = Proposal { time: Timestamp(1_760_000_000_000 + self.proposals.len() as u64), submission };
        let decision = self.ledger.put(&proposal);
        self.proposals.push(proposal);
        decision
    }
}

pub fn submission(actor: Actor, request: &str, command: Command) -> Submission {
    let fingerprint = Hash::of(command.to_string().as_bytes());
    Submission { actor, request: key(request), fingerprint, expected: None, planned_on: None, command }
}

/// What an administrator asks of sites.
pub fn of_sites(request: &str, command: site::Command) -> Submission {
    submission(ADMINISTRATOR, request, Command::Site(command))
}

pub fn key(request: &str) -> RequestId {
    RequestId::parse(request).expect("visible ASCII")
}
