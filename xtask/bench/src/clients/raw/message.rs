//! Messages of the bare drivers.

use crate::client::Received;
use crate::payload::Order;

/// A row as a bare driver decodes it.
pub(crate) struct RawMessage {
    id: i64,
    /// The payload, which is decoded because an application needs it.
    _order: Order,
}

impl RawMessage {
    pub(crate) fn new(id: i64, order: Order) -> Self {
        Self { id, _order: order }
    }
}

impl Received for RawMessage {
    fn id(&self) -> i64 {
        self.id
    }
}
