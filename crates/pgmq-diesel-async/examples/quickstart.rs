//! The life of a message: sent, read, hidden for longer, archived or deleted.
//!
//! Connects by `DATABASE_URL`, such as `postgres://user:password@localhost/database`, or by `PG_HOST` and the
//! like:
//!
//! ```text
//! cargo run --example diesel_async_quickstart
//! ```

use std::time::Duration;

use pgmq_diesel_async::{Error, PGMQueue};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    item: String,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let queue = PGMQueue::from_env().await?;
    println!("connected: {}", queue.version().await?);
    queue.create_queue("quickstart").await?;

    let one = queue.send("quickstart", &Order { id: 1, item: "tea".to_owned() }).await?;
    let more = [Order { id: 2, item: "milk".to_owned() }, Order { id: 3, item: "sugar".to_owned() }];
    let more = queue.send_batch("quickstart", &more).await?;
    println!("sent: message {one}, then {more:?} in one statement");

    while let Some(message) = queue.read::<Order>("quickstart", Duration::from_secs(30)).await? {
        let order = message.message;
        println!(
            "read: message {}, order {} for {}, hidden until {}",
            message.msg_id, order.id, order.item, message.vt
        );
        if order.id == 2 {
            // The work takes longer than expected, so the message is hidden for longer.
            let hidden =
                queue.set_vt::<Order>("quickstart", message.msg_id, Duration::from_secs(300)).await?;
            println!("hidden: until {:?}", hidden.map(|message| message.vt));
            // The archive keeps the message.
            queue.archive("quickstart", message.msg_id).await?;
        } else {
            queue.delete("quickstart", message.msg_id).await?;
        }
    }

    for archived in queue.read_archive::<Order>("quickstart", 0, 10).await? {
        println!("in the archive: message {}, since {}", archived.message.msg_id, archived.archived_at);
    }
    println!("{:?}", queue.metrics("quickstart").await?);
    queue.drop_queue("quickstart").await?;
    queue.close().await;
    Ok(())
}
