//! The story of the example: orders, an order that is refused, and a mail server that is down for a while.

use pgmq_sqlx::PGMQueue;

use crate::service::{Email, Error, Mailer, NewOrder, OrderService};

/// Runs the story, and passes each line of it to `say`.
pub(crate) async fn tell(url: &str, say: &mut (impl FnMut(String) + Send)) -> Result<(), Error> {
    let service = OrderService::open(PGMQueue::connect(url).await?).await?;

    for (customer, item, quantity) in [("ada@example.org", "tea", 2), ("grace@example.org", "sugar", 1)] {
        let order = service.place_order(NewOrder { customer, item, quantity }).await?;
        say(format!("order {}: {} wants {} {}", order.id, order.customer, order.quantity, order.item));
    }
    // The table refuses this order, so there is no e-mail about it either.
    let nothing = NewOrder { customer: "ada@example.org", item: "milk", quantity: 0 };
    let refused = service.place_order(nothing).await;
    say(format!("an order of nothing is refused: {}", refused.is_err()));
    say(format!("{} e-mails are to be sent", service.emails_to_send().await?));

    let failed = service.send_next_email(&MailServer { is_up: false }).await;
    say(format!(
        "the mail server is down: {}",
        failed.err().map_or_else(String::new, |error| error.to_string())
    ));
    say(format!("{} e-mails are to be sent still", service.emails_to_send().await?));

    while let Some(order) = service.send_next_email(&MailServer { is_up: true }).await? {
        say(format!("it is up again: {} has an e-mail about order {}", order.customer, order.id));
    }
    for order in service.orders().await? {
        say(format!("order {} is {:?}", order.id, order.state));
    }
    say(format!("{} e-mails are to be sent", service.emails_to_send().await?));
    service.queue().clone().close().await;
    Ok(())
}

/// A stand-in for a mail server.
struct MailServer {
    is_up: bool,
}

impl Mailer for MailServer {
    async fn send(&self, _: &Email) -> Result<(), Error> {
        if self.is_up { Ok(()) } else { Err("connection refused".into()) }
    }
}
