//! How the cluster fares, from all who can be asked.
//!
//! A leader with a quorum observes the others, and what it tells is all there is to know. Where no such node answers, every member
//! is asked whether it answers from here: that tells which of them are down, and the newest of what they know.

use std::{cmp::Reverse, io, time::Duration};

use bursar_wire::{
    ClientError,
    client::{Failure as NodeFailure, NodeUrl},
    problem::code::{NO_LEADER, NO_QUORUM},
    query::ReadQuery,
    status::{Check, Grade, MemberStatus, NodeRole, Status},
};
use futures_util::future::join_all;
use serde::Serialize;

use crate::{failure::Failure, neighbours, session::Session};

/// How long a member may take to answer once another node has.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(2);

/// How the cluster fares.
#[derive(Debug, Serialize)]
pub(super) struct Picture {
    /// What the node tells that knows most; its checks with what was found out from here.
    #[serde(flatten)]
    pub status: Status,
    /// Which members answer from here; empty where a leader with a quorum tells how they fare.
    pub asked: Vec<Asked>,
}

/// A member that was asked.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Asked {
    pub id: u64,
    /// Whether it answers from here; nothing where it could not be asked.
    pub answers: Option<bool>,
    /// What it is to the others, by its own account.
    pub role: Option<NodeRole>,
    /// The cursor up to which it has applied what happened.
    pub revision: Option<String>,
    /// Why it does not answer, or tells nothing.
    pub detail: Option<String>,
}

impl Picture {
    pub async fn take(session: &Session<'_>) -> Result<Self, Failure> {
        let answer = session.client.get("status", &ReadQuery::stale()).await?;
        let (status, is_secure): (Status, bool) = (answer.json()?, answer.node.is_secure());
        if is_sure(&status) {
            return Ok(Self { status, asked: Vec::new() });
        }
        let leader = status.members.iter().find(|member| Some(member.id) == status.leader && member.id != status.node.id);
        if let Some(leader) = leader
            && let Ok(told) = ask(session, is_secure, leader).await
            && is_sure(&told)
        {
            return Ok(Self { status: told, asked: Vec::new() });
        }
        let others = status.members.iter().filter(|member| member.id != status.node.id);
        let told = join_all(others.map(async |member| (member.id, ask(session, is_secure, member).await))).await;
        Ok(Self::of(status, told))
    }

    /// What one node told, and what became of asking each of the other members.
    pub fn of(status: Status, others: Vec<(u64, Result<Status, Unasked>)>) -> Self {
        let own = Asked::answering(status.node.id, &status);
        let mut asked: Vec<_> = others.iter().map(|(id, told)| Asked::of(*id, told)).chain([own]).collect();
        asked.sort_by_key(|asked| asked.id);
        let told = others.into_iter().filter_map(|(_, told)| told.ok()).chain([status]);
        let mut status = told.max_by_key(worth).expect("one at least has told");
        if is_sure(&status) {
            return Self { status, asked: Vec::new() };
        }
        complete(&mut status, &asked);
        Self { status, asked }
    }

    /// Who is named as the leader, and does not answer from here.
    pub fn silent_leader(&self) -> Option<u64> {
        silent_leader(&self.status, &self.asked)
    }

    /// How many voters answer from here; nothing where that was not asked.
    pub fn voters_answering(&self) -> Option<u32> {
        (!self.asked.is_empty()).then(|| voters_answering(&self.status, &self.asked))
    }
}

impl Asked {
    fn of(id: u64, told: &Result<Status, Unasked>) -> Self {
        match told {
            Ok(status) => Self::answering(id, status),
            Err(Unasked { answers, why }) => {
                Self { id, answers: *answers, role: None, revision: None, detail: Some(why.clone()) }
            }
        }
    }

    fn answering(id: u64, status: &Status) -> Self {
        let (role, revision) = (Some(status.node.role), Some(status.revision.clone()));
        Self { id, answers: Some(true), role, revision, detail: None }
    }
}

/// Why a member has told nothing.
#[derive(Clone, Debug)]
pub(super) struct Unasked {
    /// Whether it answers all the same.
    pub answers: Option<bool>,
    pub why: String,
}

async fn ask(session: &Session<'_>, is_secure: bool, member: &MemberStatus) -> Result<Status, Unasked> {
    let unknown = |why: &str| Unasked { answers: None, why: why.to_owned() };
    let url = member.api_address.parse().map(|address| NodeUrl::new(is_secure, address));
    let url = url.map_err(|_| unknown("its address cannot be read"))?;
    if !neighbours::may_know_the_token(&url) {
        return Err(unknown("not asked: the token would travel in the clear"));
    }
    let client = session.client.narrowed_to(url, MEMBER_TIMEOUT);
    let asked = async { client?.get("status", &ReadQuery::stale()).await?.json() };
    asked.await.map_err(unasked)
}

fn unasked(error: ClientError) -> Unasked {
    let (answers, why) = match error {
        ClientError::Problem { problem, .. } => (Some(true), problem.code),
        // It answers, and be it another version.
        error @ ClientError::Malformed { .. } => (Some(true), error.to_string()),
        ClientError::Unreachable { mut failures } => {
            (Some(false), failures.pop().map(|last| told(&last.failure)).unwrap_or_default())
        }
        error => (None, error.to_string()),
    };
    Unasked { answers, why }
}

fn told(failure: &NodeFailure) -> String {
    match failure {
        NodeFailure::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        failure => failure.to_string(),
    }
}

/// Whether a leader tells it, and a quorum confirms it.
fn is_sure(status: &Status) -> bool {
    status.unobserved_reason.is_none() && status.stale.is_none()
}

/// How much what a node tells is worth: what a quorum confirms, then what a leader observes, then what is the newest.
fn worth(status: &Status) -> impl Ord + use<> {
    let age_ms = status.stale.as_ref().map_or(0, |stale| stale.age_ms.unwrap_or(u64::MAX));
    (status.stale.is_none(), status.unobserved_reason.is_none(), Reverse(age_ms))
}

fn voters_answering(status: &Status, asked: &[Asked]) -> u32 {
    let is_voter = |asked: &&Asked| asked.answers == Some(true) && status.node.voters.contains(&asked.id);
    u32::try_from(asked.iter().filter(is_voter).count()).unwrap_or(u32::MAX)
}

fn silent_leader(status: &Status, asked: &[Asked]) -> Option<u64> {
    status.leader.filter(|leader| asked.iter().any(|asked| asked.id == *leader && asked.answers == Some(false)))
}

/// Says why nobody leads, where nobody does, as far as it is seen from here.
fn complete(status: &mut Status, asked: &[Asked]) {
    if let Some(leader) = silent_leader(status, asked) {
        // What the node itself has to say is whom to ask.
        status.unobserved_reason = Some(format!("authority node {leader}, named as the leader, does not answer from here"));
    }
    let is_open = |asked: &Asked| asked.answers.is_none();
    let is_told = status.checks.iter().any(|check| check.code == NO_QUORUM);
    // A node that was never told who votes cannot count them.
    let knows_voters = !status.node.voters.is_empty();
    if status.leader.is_some() || status.stale.is_none() || is_told || !knows_voters || asked.iter().any(is_open) {
        return;
    }
    let tolerance = status.fault_tolerance;
    let (voters, quorum, answering) = (tolerance.voters, tolerance.quorum, voters_answering(status, asked));
    let check = if answering < quorum {
        let answers = |voter: u64| asked.iter().any(|asked| asked.id == voter && asked.answers == Some(true));
        let named = |voter: u64| match status.members.iter().find(|member| member.id == voter) {
            Some(member) => format!("authority node {voter} at {}", member.api_address),
            None => format!("authority node {voter}"),
        };
        let down = status.node.voters.iter().copied().filter(|voter| !answers(*voter)).map(named);
        let down = down.collect::<Vec<_>>().join(", ");
        Check {
            code: NO_QUORUM.to_owned(),
            severity: Grade::Err,
            summary: format!(
                "No quorum: {answering} of {voters} voters answering from here, {quorum} needed. Nothing can be changed."
            ),
            remedy: format!("Start {down} with `bursar authority run`; where they run, check that they are reached."),
        }
    } else {
        Check {
            code: NO_LEADER.to_owned(),
            severity: Grade::Err,
            summary: format!("Nobody leads, though {answering} of {voters} voters answer from here. Nothing can be changed."),
            remedy:
                "Look again in some seconds: they may be choosing a leader. Else check that they reach each other's peer ports."
                    .to_owned(),
        }
    };
    status.checks.retain(|check| check.code != NO_LEADER);
    status.checks.insert(0, check);
    status.health = Grade::worst_of(&status.checks).max(status.health);
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::*, *};

    fn codes(picture: &Picture) -> Vec<&str> {
        picture.status.checks.iter().map(|check| check.code.as_str()).collect()
    }

    /// What another node tells that has as little to say.
    fn another(id: u64, age_ms: Option<u64>) -> (u64, Result<Status, Unasked>) {
        let mut status = alone();
        status.node.id = id;
        status.stale.as_mut().unwrap().age_ms = age_ms;
        (id, Ok(status))
    }

    #[test]
    fn a_lost_quorum_comes_first_and_names_the_nodes_that_are_down() {
        let picture = Picture::of(alone(), vec![(1, down("connection refused")), (3, down("no answer"))]);
        assert_eq!((codes(&picture), picture.status.health), (vec![NO_QUORUM], Grade::Err));
        let check = &picture.status.checks[0];
        assert_eq!(check.summary, "No quorum: 1 of 3 voters answering from here, 2 needed. Nothing can be changed.");
        assert!(
            check.remedy.starts_with("Start authority node 1 at 10.0.0.1:4285, authority node 3 at 10.0.0.3:4285 with"),
            "{}",
            check.remedy
        );
    }

    #[test]
    fn to_be_started_are_voters_and_nobody_else() {
        let mut lost = alone();
        let learner = MemberStatus { id: 4, api_address: "10.0.0.4:4285".into(), ..lost.members[0].clone() };
        lost.members.push(learner);
        // One that left the members and still counts, and one that joined them and does not yet.
        lost.members.retain(|member| member.id != 3);
        let picture = Picture::of(lost, vec![(1, down("connection refused")), (4, down("connection refused"))]);
        assert_eq!(codes(&picture), [NO_QUORUM]);
        let remedy = &picture.status.checks[0].remedy;
        assert!(remedy.starts_with("Start authority node 1 at 10.0.0.1:4285, authority node 3 with `"), "{remedy}");

        let mut untold = alone();
        untold.node.voters.clear();
        let picture = Picture::of(untold, vec![(1, down("connection refused")), (3, down("connection refused"))]);
        assert_eq!(picture.status.checks, alone().checks, "it knows of no voter that could be started");
    }

    #[test]
    fn voters_that_answer_and_have_no_leader_are_not_said_to_be_down() {
        let picture = Picture::of(alone(), vec![another(1, Some(41_000)), (3, down("connection refused"))]);
        assert_eq!(codes(&picture), [NO_LEADER]);
        assert!(picture.status.checks[0].summary.starts_with("Nobody leads, though 2 of 3 voters answer from here."));
    }

    /// In the first seconds after a leader died the others still name it.
    #[test]
    fn a_leader_that_does_not_answer_is_not_the_one_to_ask() {
        let mut follower = three_members();
        (follower.node.id, follower.node.role, follower.leader) = (2, NodeRole::Follower, Some(1));
        follower.unobserved_reason = Some("only the leader observes the others: ask authority node 1".into());
        follower.fault_tolerance.voters_reachable = None;
        let picture = Picture::of(follower.clone(), vec![(1, down("connection refused")), (3, down("connection refused"))]);
        assert_eq!(picture.silent_leader(), Some(1));
        let told = picture.status.unobserved_reason.unwrap();
        assert_eq!(told, "authority node 1, named as the leader, does not answer from here");
        let unknown = Err(Unasked { answers: None, why: "not asked".into() });
        let picture = Picture::of(follower, vec![(1, unknown), (3, down("connection refused"))]);
        assert_eq!(picture.silent_leader(), None, "nobody knows whether it answers");
    }

    #[test]
    fn a_member_that_cannot_be_asked_proves_nothing() {
        let unknown = Err(Unasked { answers: None, why: "not asked".into() });
        let picture = Picture::of(alone(), vec![(1, down("connection refused")), (3, unknown)]);
        assert_eq!(picture.status.checks, alone().checks);
        assert_eq!((picture.asked[2].answers, picture.voters_answering()), (None, Some(1)));
    }

    #[test]
    fn a_member_that_refuses_answers() {
        let refuses = Err(Unasked { answers: Some(true), why: "overloaded".into() });
        let picture = Picture::of(alone(), vec![(1, refuses), (3, down("connection refused"))]);
        assert_eq!(codes(&picture), [NO_LEADER]);
    }

    #[test]
    fn what_is_shown_is_the_newest_and_a_leader_with_a_quorum_knows_all() {
        let others = || vec![another(1, Some(3_000)), another(3, None)];
        let picture = Picture::of(alone(), others());
        assert_eq!(picture.status.node.id, 1, "it was confirmed later than the one that was asked first");
        let ids: Vec<_> = picture.asked.iter().map(|asked| asked.id).collect();
        assert_eq!(ids, [1, 2, 3]);

        let mut leads = three_members();
        leads.node.id = 3;
        let picture = Picture::of(alone(), vec![another(1, Some(3_000)), (3, Ok(leads))]);
        assert_eq!((picture.status.node.id, picture.status.leader, picture.asked.len()), (3, Some(2), 0));
    }
}
