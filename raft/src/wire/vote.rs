//! Votes, pre-votes and the hand-over of the leadership.

use bursar_storage::log::{self, LogPosition};
use openraft::raft::{TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse};
use serde::{Deserialize, Serialize};

use crate::{convert, types::TypeConfig};

/// What one node asks another on the vote lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// Your vote?
    Vote(Candidacy),
    /// Would you vote for me? Changes nothing.
    PreVote(Candidacy),
    /// Lead from now on, or let another lead.
    TransferLeader(HandOver),
}

impl Question {
    /// Who asks: the candidate, or the leader that hands over.
    pub(crate) fn of_whom(&self) -> log::Vote {
        match self {
            Self::Vote(candidacy) | Self::PreVote(candidacy) => candidacy.vote,
            Self::TransferLeader(hand_over) => hand_over.from,
        }
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// To a question for a vote or a pre-vote.
    Ballot(Ballot),
    /// To a hand-over: taken.
    TransferTaken,
    /// To a hand-over: another vote was seen.
    TransferVoteChanged { expected: log::Vote, actual: log::Vote },
    /// To a hand-over: entries are still missing here.
    TransferLogBehind { expected: Option<LogPosition>, actual: Option<LogPosition> },
    /// The node that was asked has stopped.
    Stopped { detail: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Candidacy {
    vote: log::Vote,
    last: Option<LogPosition>,
    leadership_transfer: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ballot {
    vote: log::Vote,
    granted: bool,
    last: Option<LogPosition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandOver {
    from: log::Vote,
    to: u64,
    last: Option<LogPosition>,
}

impl From<VoteRequest<TypeConfig>> for Candidacy {
    fn from(request: VoteRequest<TypeConfig>) -> Self {
        Self {
            vote: convert::vote_to_store(request.vote),
            last: request.last_log_id.map(convert::position),
            leadership_transfer: request.leadership_transfer,
        }
    }
}

impl From<Candidacy> for VoteRequest<TypeConfig> {
    fn from(candidacy: Candidacy) -> Self {
        Self {
            vote: convert::vote(candidacy.vote),
            last_log_id: candidacy.last.map(convert::log_id),
            leadership_transfer: candidacy.leadership_transfer,
        }
    }
}

impl From<VoteResponse<TypeConfig>> for Ballot {
    fn from(response: VoteResponse<TypeConfig>) -> Self {
        Self {
            vote: convert::vote_to_store(response.vote),
            granted: response.vote_granted,
            last: response.last_log_id.map(convert::position),
        }
    }
}

impl From<Ballot> for VoteResponse<TypeConfig> {
    fn from(ballot: Ballot) -> Self {
        Self { vote: convert::vote(ballot.vote), vote_granted: ballot.granted, last_log_id: ballot.last.map(convert::log_id) }
    }
}

impl From<TransferLeaderRequest<TypeConfig>> for HandOver {
    fn from(request: TransferLeaderRequest<TypeConfig>) -> Self {
        Self {
            from: convert::vote_to_store(*request.from_leader()),
            to: *request.to_node_id(),
            last: request.last_log_id().copied().map(convert::position),
        }
    }
}

impl From<HandOver> for TransferLeaderRequest<TypeConfig> {
    fn from(hand_over: HandOver) -> Self {
        Self::new(convert::vote(hand_over.from), hand_over.to, hand_over.last.map(convert::log_id))
    }
}

impl From<TransferLeaderResponse<TypeConfig>> for Answer {
    fn from(response: TransferLeaderResponse<TypeConfig>) -> Self {
        match response {
            Ok(()) => Self::TransferTaken,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                Self::TransferVoteChanged { expected: convert::vote_to_store(expected), actual: convert::vote_to_store(actual) }
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
                Self::TransferLogBehind { expected: expected.map(convert::position), actual: actual.map(convert::position) }
            }
        }
    }
}

impl Answer {
    /// The answer to a question for a vote; `None` where it answers another question.
    pub(crate) fn into_vote_response(self) -> Option<VoteResponse<TypeConfig>> {
        match self {
            Self::Ballot(ballot) => Some(ballot.into()),
            _ => None,
        }
    }

    /// The answer to a hand-over; `None` where it answers another question.
    pub(crate) fn into_transfer_response(self) -> Option<TransferLeaderResponse<TypeConfig>> {
        match self {
            Self::TransferTaken => Some(Ok(())),
            Self::TransferVoteChanged { expected, actual } => {
                Some(Err(TransferLeaderError::VoteChanged { expected: convert::vote(expected), actual: convert::vote(actual) }))
            }
            Self::TransferLogBehind { expected, actual } => Some(Err(TransferLeaderError::LogNotFlushed {
                expected: expected.map(convert::log_id),
                actual: actual.map(convert::log_id),
            })),
            Self::Ballot(_) | Self::Stopped { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    fn position(index: u64) -> LogPosition {
        LogPosition { term: 2, index }
    }

    #[test]
    fn a_candidacy_carries_the_permission_of_the_leader() {
        for leadership_transfer in [false, true] {
            let vote = log::Vote { term: 3, leader: 2, committed: false };
            let question = Question::PreVote(Candidacy { vote, last: Some(position(4)), leadership_transfer });
            assert_eq!(decode::<Question>(&encode(&question)), Ok(question.clone()));
            let Question::PreVote(candidacy) = question else { unreachable!("it was just made") };
            let request = VoteRequest::<TypeConfig>::from(candidacy.clone());
            assert_eq!(request.leadership_transfer, leadership_transfer);
            assert_eq!(Candidacy::from(request), candidacy);
        }
    }

    #[test]
    fn the_answers_to_a_hand_over_come_back_as_they_went() {
        let vote = |term| log::Vote { term, leader: 1, committed: true };
        let answers = [
            Answer::TransferTaken,
            Answer::TransferVoteChanged { expected: vote(1), actual: vote(2) },
            Answer::TransferLogBehind { expected: Some(position(9)), actual: None },
        ];
        for answer in answers {
            let response = answer.clone().into_transfer_response().expect("it answers a hand-over");
            assert_eq!(Answer::from(response), answer);
        }
    }
}
