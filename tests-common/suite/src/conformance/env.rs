//! Connecting by environment variables.

use crate::kit::{
    backend::Backend, child, context::TestContext, failure::Outcome, parts::Parts, table::cases,
};

cases! { env:
    direct [] from_env_reads_the_database_url;
    direct [] from_env_reads_the_parts;
    direct [] from_env_takes_an_empty_variable_as_missing;
    direct [] from_env_can_skip_the_check_for_pgmq;
    direct [] from_env_refuses_invalid_values;
    direct [] from_env_of_the_builder_combines_with_other_settings;
}

async fn from_env_reads_the_database_url<B: Backend>(context: &TestContext<'_>) -> Outcome {
    // `PG_HOST` and the other parts are ignored if `DATABASE_URL` is set.
    let result = child::with_variables(&[
        ("DATABASE_URL", context.url()),
        ("PG_HOST", "256.0.0.1"),
        ("PG_PORT", "none"),
    ])?;
    assert_eq!(result, "sent 1");
    assert_eq!(context.query_value("SELECT message #>> '{}' FROM pgmq.q_q")?, "from the child");
    Ok(())
}

async fn from_env_reads_the_parts<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let Parts { host, port, user, password } = Parts::new(context);
    let port = port.to_string();
    let result = child::with_variables(&[
        ("PG_HOST", &host),
        ("PG_PORT", &port),
        ("PG_DATABASE", context.name()),
        ("PG_USERNAME", &user),
        ("PG_PASSWORD", &password),
    ])?;
    assert_eq!(result, "sent 1");
    Ok(())
}

async fn from_env_takes_an_empty_variable_as_missing<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let Parts { host, port, user, password } = Parts::new(context);
    let port = port.to_string();
    for empty in ["", " \n"] {
        let result = child::with_variables(&[
            ("DATABASE_URL", empty),
            ("PG_HOST", &host),
            ("PG_PORT", &port),
            ("PG_DATABASE", context.name()),
            ("PG_USERNAME", &user),
            ("PG_PASSWORD", &password),
            ("PG_INIT_EXTENSION", empty),
        ])?;
        assert!(result.starts_with("sent"), "{result}");
    }
    let result = child::with_variables(&[("DATABASE_URL", context.url()), ("PG_PORT", ""), ("PG_HOST", "")])?;
    assert!(result.starts_with("sent"), "{result}");
    Ok(())
}

async fn from_env_can_skip_the_check_for_pgmq<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let empty = context.server().create_empty_database()?;
    let url = ("DATABASE_URL", empty.url());
    assert_eq!(child::with_variables(&[url])?, "connect: NotInstalled");
    assert_eq!(child::with_variables(&[url, ("PG_INIT_EXTENSION", "true")])?, "connect: NotInstalled");
    assert_eq!(child::with_variables(&[url, ("PG_INIT_EXTENSION", "false")])?, "send: NotInstalled");
    Ok(())
}

async fn from_env_refuses_invalid_values<B: Backend>(_: &TestContext<'_>) -> Outcome {
    assert_eq!(child::with_variables(&[("PG_PORT", "many")])?, "connect: InvalidArgument");
    assert_eq!(child::with_variables(&[("PG_INIT_EXTENSION", "maybe")])?, "connect: InvalidArgument");
    Ok(())
}

async fn from_env_of_the_builder_combines_with_other_settings<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    assert!(child::with_builder(&[("DATABASE_URL", context.url())])?.starts_with("sent"));
    let empty = context.server().create_empty_database()?;
    // The builder's setting takes precedence.
    let variables = [("DATABASE_URL", empty.url()), ("PG_INIT_EXTENSION", "true")];
    assert_eq!(child::with_builder(&variables)?, "send: NotInstalled");
    Ok(())
}
