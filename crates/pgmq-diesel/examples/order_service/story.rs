//! The use of the service: an ordinary day, and one on which the mail server is down.

use pgmq_diesel::PGMQueue;

use crate::service::{Email, Error, Mailer, NewOrder, OrderService};

/// Runs the story, and reports each event as a line.
pub(crate) fn run(url: &str, report: &mut impl FnMut(String)) -> Result<(), Error> {
    let service = OrderService::open(PGMQueue::connect(url)?)?;

    for (customer, item, quantity) in [("ada@example.org", "tea", 2), ("grace@example.org", "sugar", 1)] {
        let order = service.place_order(NewOrder { customer, item, quantity })?;
        report(format!("order {}: {} wants {} {}", order.id, order.customer, order.quantity, order.item));
    }
    // The table refuses an order of nothing, so there is no e-mail about it either.
    let nothing = NewOrder { customer: "ada@example.org", item: "milk", quantity: 0 };
    let refused = service.place_order(nothing);
    report(format!("an order of nothing is refused: {}", refused.is_err()));
    report(format!("{} e-mails are to be sent", service.emails_to_send()?));

    let failed = service.send_next_email(&MailServer { is_up: false });
    report(format!(
        "the mail server is down: {}",
        failed.err().map_or_else(String::new, |error| error.to_string())
    ));
    report(format!("{} e-mails are still to be sent", service.emails_to_send()?));

    while let Some(order) = service.send_next_email(&MailServer { is_up: true })? {
        report(format!("order {} is {:?}, and {} was informed", order.id, order.state, order.customer));
    }
    report(format!("{} e-mails are to be sent", service.emails_to_send()?));
    report(format!("{} orders are in the table", service.orders()?.len()));
    service.queue().clone().close();
    Ok(())
}

/// A mail server that is up or down.
struct MailServer {
    is_up: bool,
}

impl Mailer for MailServer {
    fn send(&self, _: &Email) -> Result<(), Error> {
        if self.is_up { Ok(()) } else { Err("connection refused".into()) }
    }
}
