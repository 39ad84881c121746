//! The SQL of the clients of this workspace.

use std::sync::LazyLock;

use pgmq_core::{Action, Output, RawJson, ServerVersion, Statement, statement};

use crate::client::{QUEUE, VT};

/// The statements, in their newest forms.
pub(crate) static SQL: LazyLock<Sql> = LazyLock::new(|| Sql {
    send: text(statement::send(QUEUE, &1)),
    send_batch: text(statement::send_batch(QUEUE, &[1])),
    read: text(statement::read::<RawJson>(QUEUE, VT)),
    read_batch: text(statement::read_batch::<RawJson>(QUEUE, VT, 1)),
    delete: text(statement::delete(QUEUE, 1)),
    delete_batch: text(statement::delete_batch(QUEUE, &[1])),
    pop: text(statement::pop::<RawJson>(QUEUE)),
});

/// The text of each operation.
pub(crate) struct Sql {
    /// Queue, message.
    pub(crate) send: &'static str,
    /// Queue, messages.
    pub(crate) send_batch: &'static str,
    /// Queue, visibility timeout.
    pub(crate) read: &'static str,
    /// Queue, visibility timeout, quantity.
    pub(crate) read_batch: &'static str,
    /// Queue, id.
    pub(crate) delete: &'static str,
    /// Queue, ids.
    pub(crate) delete_batch: &'static str,
    /// Queue.
    pub(crate) pop: &'static str,
}

fn text<O: Output>(statement: Statement<'static, O>) -> &'static str {
    match statement.into_action() {
        // As on a connection outside of transactions, where an older server reports that it lacks this
        // variant. The texts are few, and are leaked on purpose.
        Action::Run(query) => String::leak(query.variant_on_pool(&ServerVersion::default()).text.to_owned()),
        Action::Return(_) => unreachable!("these arguments ask for something"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_take_the_parameters_that_are_bound() {
        let parameters = |text: &str| text.matches('$').count();
        let Sql { send, send_batch, read, read_batch, delete, delete_batch, pop } = &*SQL;
        let counts =
            [send, send_batch, read, read_batch, delete, delete_batch, pop].map(|text| parameters(text));
        assert_eq!(counts, [2, 2, 2, 3, 2, 2, 1]);
    }
}
