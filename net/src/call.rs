//! Questions and answers over a pair of frames: many in flight, answered in any order.
//!
//! A frame's payload is the call's number as a big-endian `u64`, then the body. The asking side
//! picks the numbers.

mod answer;
mod caller;
#[cfg(feature = "simulation")]
mod fated;

pub use answer::{AnswerError, answer};
pub use caller::{CallError, Caller};

use bytes::{Buf, Bytes};

use crate::FrameError;

/// How many bytes may gather before they are sent although more is waiting to be added.
const BATCH_BYTES: usize = 256 * 1024;

const NUMBER_BYTES: usize = 8;

fn split_number(mut payload: Bytes) -> Result<(u64, Bytes), FrameError> {
    if payload.len() < NUMBER_BYTES {
        return Err(FrameError::Malformed { reason: "it is too short for the number of its call".to_owned() });
    }
    let number = payload.get_u64();
    Ok((number, payload))
}
