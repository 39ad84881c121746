//! The payload, which has the same type for all clients.

use serde::{Deserialize, Serialize};

/// A message as an application might send it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Order {
    pub(crate) number: u64,
    pub(crate) customer: String,
    pub(crate) items: Vec<Item>,
}

/// A line of an [`Order`].
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Item {
    pub(crate) article: String,
    pub(crate) quantity: u32,
    pub(crate) cents: u64,
}

impl Order {
    /// An order whose JSON has about this many bytes: never fewer, and at most one item more, or what the
    /// empty order has.
    pub(crate) fn of_about(bytes: usize) -> Self {
        let mut order = Self { number: 4711, customer: "Ada Lovelace".to_owned(), items: Vec::new() };
        let mut size = order.json_len();
        // The same each time, and too irregular for the server to compress it to nothing.
        let mut noise = 0x9E37_79B9_7F4A_7C15_u64;
        while size < bytes {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let item = Item { article: format!("{noise:016x}"), quantity: 1, cents: noise >> 48 };
            let json = serde_json::to_vec(&item).map_or(0, |json| json.len());
            // The comma included.
            size += json + 1;
            order.items.push(item);
        }
        order
    }

    fn json_len(&self) -> usize {
        serde_json::to_vec(self).map_or(0, |json| json.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_as_large_as_asked_for() {
        for bytes in [100, 200, 10_000, 1_000_000] {
            let len = Order::of_about(bytes).json_len();
            assert!((bytes..bytes + 100).contains(&len), "{len} for {bytes}");
        }
    }
}
