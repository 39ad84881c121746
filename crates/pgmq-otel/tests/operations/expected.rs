//! The spans and metrics that the operations of the test make.

/// The name, the kind, the attributes and the links of each span. A link is shown as the id of the message
/// and the number of the send span that it leads to.
pub(crate) const SPANS: &[(&str, &str, &str, &str)] = &[
    (
        "pgmq.create orders",
        "Client",
        "db.operation.name=create_queue db.stored_procedure.name=pgmq.create",
        "",
    ),
    (
        "send orders",
        "Producer",
        "db.stored_procedure.name=pgmq.send messaging.destination.name=orders messaging.message.id=1 messaging.operation.name=send messaging.operation.type=send",
        "",
    ),
    (
        "send orders",
        "Producer",
        "db.stored_procedure.name=pgmq.send_batch messaging.batch.message_count=2 messaging.destination.name=orders messaging.operation.name=send messaging.operation.type=send",
        "",
    ),
    (
        "pgmq.bind_topic orders",
        "Client",
        "db.operation.name=bind_topic db.stored_procedure.name=pgmq.bind_topic",
        "",
    ),
    (
        "send_topic a.b",
        "Producer",
        "db.stored_procedure.name=pgmq.send_topic messaging.destination.name=a.b messaging.operation.name=send_topic messaging.operation.type=send",
        "",
    ),
    (
        "read orders",
        "Client",
        "db.stored_procedure.name=pgmq.read error.type=decode messaging.destination.name=orders messaging.operation.name=read messaging.operation.type=receive",
        "",
    ),
    (
        "read orders",
        "Client",
        "db.stored_procedure.name=pgmq.read messaging.destination.name=orders messaging.message.id=1 messaging.operation.name=read messaging.operation.type=receive",
        "1<-0",
    ),
    (
        "read orders",
        "Client",
        "db.stored_procedure.name=pgmq.read messaging.batch.message_count=4 messaging.destination.name=orders messaging.operation.name=read messaging.operation.type=receive",
        "1<-0 2<-1 3<-1 4<-2",
    ),
    (
        "read orders",
        "Client",
        "db.stored_procedure.name=pgmq.read messaging.destination.name=orders messaging.operation.name=read messaging.operation.type=receive",
        "",
    ),
    (
        "set_vt orders",
        "Client",
        "db.stored_procedure.name=pgmq.set_vt messaging.destination.name=orders messaging.message.id=1 messaging.operation.name=set_vt messaging.operation.type=settle",
        "",
    ),
    (
        "delete orders",
        "Client",
        "db.stored_procedure.name=pgmq.delete messaging.destination.name=orders messaging.message.id=1 messaging.operation.name=delete messaging.operation.type=settle",
        "",
    ),
    (
        "archive orders",
        "Client",
        "db.stored_procedure.name=pgmq.archive messaging.batch.message_count=2 messaging.destination.name=orders messaging.operation.name=archive messaging.operation.type=settle",
        "",
    ),
    ("peek pgmq.q_orders", "Client", "db.collection.name=pgmq.q_orders db.operation.name=peek", ""),
    (
        "pgmq.list_queues",
        "Client",
        "db.operation.name=list_queues db.stored_procedure.name=pgmq.list_queues",
        "",
    ),
    (
        "send missing",
        "Producer",
        "db.response.status_code=42P01 db.stored_procedure.name=pgmq.send error.type=42P01 messaging.destination.name=missing messaging.operation.name=send messaging.operation.type=send",
        "",
    ),
    (
        "pop orders",
        "Client",
        "db.stored_procedure.name=pgmq.pop messaging.destination.name=orders messaging.operation.name=pop messaging.operation.type=receive",
        "",
    ),
];

/// A metric: its name and its points, each by its attributes and its value.
type Expected = (&'static str, &'static [(&'static str, u64)]);

/// The metrics with the sums of counters, and the numbers of values of histograms.
pub(crate) const METRICS: &[Expected] = &[
    (
        "messaging.client.sent.messages",
        &[
            (
                "error.type=42P01 messaging.destination.name=missing messaging.operation.name=send messaging.operation.type=send",
                1,
            ),
            (
                "messaging.destination.name=orders messaging.operation.name=send messaging.operation.type=send",
                3,
            ),
            ("messaging.operation.name=send_topic messaging.operation.type=send", 1),
        ],
    ),
    (
        "messaging.client.consumed.messages",
        &[(
            "messaging.destination.name=orders messaging.operation.name=read messaging.operation.type=receive",
            5,
        )],
    ),
    ("pgmq.message.age", &[("messaging.destination.name=orders", 5)]),
    (
        "messaging.client.operation.duration",
        &[
            (
                "error.type=42P01 messaging.destination.name=missing messaging.operation.name=send messaging.operation.type=send",
                1,
            ),
            (
                "error.type=decode messaging.destination.name=orders messaging.operation.name=read messaging.operation.type=receive",
                1,
            ),
            (
                "messaging.destination.name=orders messaging.operation.name=archive messaging.operation.type=settle",
                1,
            ),
            (
                "messaging.destination.name=orders messaging.operation.name=delete messaging.operation.type=settle",
                1,
            ),
            (
                "messaging.destination.name=orders messaging.operation.name=pop messaging.operation.type=receive",
                1,
            ),
            (
                "messaging.destination.name=orders messaging.operation.name=read messaging.operation.type=receive",
                3,
            ),
            (
                "messaging.destination.name=orders messaging.operation.name=send messaging.operation.type=send",
                2,
            ),
            (
                "messaging.destination.name=orders messaging.operation.name=set_vt messaging.operation.type=settle",
                1,
            ),
            ("messaging.operation.name=send_topic messaging.operation.type=send", 1),
        ],
    ),
];
