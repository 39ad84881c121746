//! What becomes of a queue whose operations are given up.

use std::time::Duration;

use pgmq_core::{AsyncQueue, Error, ErrorKind, Output, Statement};
use pgmq_test_server::proxy::Proxy;

use crate::{
    conformance::round_trips::recorded,
    kit::{
        backend::Backend,
        context::{QUEUE, TestContext},
        every_operation::{Texts, on_every_operation},
        failure::Outcome,
        runtime::Runtime,
        table::cases,
    },
};

cases! { cancellation:
    direct [] every_operation_can_be_given_up;
}

/// How long an operation is waited for: until it has been sent, or nearly.
const PATIENCE: Duration = Duration::from_millis(15);

/// A queue whose operations are all given up while the network is silent.
struct Impatient<'q, B: Backend> {
    queue: &'q B::Queue,
    proxy: &'q Proxy,
}

const GIVEN_UP: &str = "given up";

impl<B: Backend> AsyncQueue for Impatient<'_, B> {
    type Error = B::Error;

    async fn run<O: Output>(&self, statement: Statement<'_, O>) -> Result<O, B::Error> {
        self.proxy.freeze();
        let answer = B::timeout(PATIENCE, self.queue.run(statement)).await;
        self.proxy.thaw();
        if let Some(answer) = answer {
            return answer;
        }
        // On the only connection that there may be. Nothing is left that would stop it.
        self.queue.send(QUEUE, "goes on").await?;
        Err(Error::new(ErrorKind::Timeout, GIVEN_UP).into())
    }
}

async fn every_operation_can_be_given_up<B: Backend>(context: &TestContext<'_>) -> Outcome {
    if B::Runtime::BLOCKS {
        return Ok(());
    }
    let (proxy, queue) = recorded::<B>(context).await?;
    let [name, routing_key, interval, json] = ["given_up", "a.b", "10000", "text"].map(ToOwned::to_owned);
    queue.create_queue(&name).await?;
    let texts = Texts { queue: name, pattern: routing_key.clone(), routing_key, interval, json };
    let impatient = Impatient::<B> { queue: &queue, proxy: &proxy };
    let ran = on_every_operation(&impatient, &texts, |_, _| true).await;
    for (operation, result) in ran {
        match result {
            // What is not asked of the server is not given up.
            Ok(_) => assert!(operation.starts_with("validate_"), "{operation} was not given up"),
            Err(error) => assert!(error.to_string().contains(GIVEN_UP), "{operation}: {error}"),
        }
    }
    // The connection is in order.
    for n in 0..3 {
        let id = queue.send(QUEUE, &n).await?;
        assert!(queue.delete(QUEUE, id).await?);
    }
    B::close(queue).await;
    Ok(())
}
