//! The shop: its orders, and the ways in which they succeed and fail.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use pgmq_worker::Failure;
use serde::{Deserialize, Serialize};

/// The queue.
pub(super) const ORDERS: &str = "orders";

/// The queue of the dead letters.
pub(super) const DEAD_LETTERS: &str = "orders_dlq";

/// The payload of a message.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) item: String,
    pub(super) quantity: i64,
}

/// The outcome of the payment in a transaction.
#[derive(Clone, Copy)]
pub(super) enum Payment {
    Accepted,
    Declined,
}

impl Payment {
    pub(super) fn settle(self) -> Result<()> {
        match self {
            Self::Accepted => Ok(()),
            Self::Declined => bail!("the card was declined"),
        }
    }
}

pub(super) fn order(item: &str, quantity: i64) -> Order {
    Order { item: item.to_owned(), quantity }
}

/// The things that the orders are prepared from.
#[derive(Default)]
pub(super) struct Shop {
    has_cups: AtomicBool,
}

/// The way in which an order that is prepared is finished.
pub(super) enum Prepared {
    Served,
    /// Its row is still to be written.
    Sold,
}

impl Shop {
    /// Lets orders of cups succeed from now on.
    pub(super) fn restock(&self) {
        self.has_cups.store(true, Ordering::Relaxed);
    }

    pub(super) fn prepare(&self, order: &Order, reads: i32) -> Result<Prepared, Failure> {
        match order.item.as_str() {
            "oolong" if reads == 1 => Err(Failure::from("the kettle is cold")),
            "a cup" if !self.has_cups.load(Ordering::Relaxed) => {
                Err(Failure::from("there are no cups left").permanent())
            }
            "sencha" => Ok(Prepared::Sold),
            _ => Ok(Prepared::Served),
        }
    }
}
