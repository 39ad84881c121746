//! Claims: which read a message came from, and what its reader may still do to it.

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::param::JsonText;

/// One read of a message.
///
/// Every read raises `read_ct`, so the next read of a message makes the claims of earlier ones stale. The
/// operations that take a claim do nothing to a message that another consumer has read since.
///
/// **Forget the claim of a read that was rolled back.** The next read gives the same claim to another
/// consumer. The server can give a claim out twice also after it has lost committed reads, as after a crash
/// with `synchronous_commit` off, or a failover to an asynchronous standby.
///
/// ```
/// use pgmq_core::{Claim, Message};
///
/// let mut message = Message::new(7, "hello");
/// message.read_ct = 1;
/// assert_eq!(message.claim(), Claim::new(7, 1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claim {
    /// The id of the message.
    pub msg_id: i64,
    /// The number of reads, this one included.
    pub read_ct: i32,
}

impl Claim {
    /// Creates the claim of a read.
    pub fn new(msg_id: i64, read_ct: i32) -> Self {
        Self { msg_id, read_ct }
    }
}

impl<T> Message<T> {
    /// The claim of the read that returned the message.
    pub fn claim(&self) -> Claim {
        Claim { msg_id: self.msg_id, read_ct: self.read_ct }
    }
}

/// A message to move, for `move_batch`.
///
/// ```
/// use pgmq_core::{Message, Move};
///
/// let message = Message::new(7, "hello");
/// let buried = Move::new(message.claim()).headers(&serde_json::json!({"x-dlq-reason": "exhausted"}));
/// # let _ = buried;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    pub(crate) claim: Claim,
    pub(crate) headers: Option<Result<JsonText, String>>,
}

impl Move {
    /// Moves a message with the headers that it has.
    pub fn new(claim: Claim) -> Self {
        Self { claim, headers: None }
    }

    /// Replaces the headers, usually by a JSON object.
    ///
    /// A value that serializes to JSON `null`, such as `None`, keeps the headers.
    #[must_use]
    pub fn headers<H: Serialize + ?Sized>(mut self, headers: &H) -> Self {
        let headers = JsonText::new(headers).map_err(|error| error.to_string());
        self.headers = Some(headers).filter(|headers| !headers.as_ref().is_ok_and(JsonText::is_null));
        self
    }
}

impl From<Claim> for Move {
    fn from(claim: Claim) -> Self {
        Self::new(claim)
    }
}
