//! Connection strings: what a client takes, and what it refuses without showing a part of it.
//!
//! A refused string never reaches the driver, which might log it or connect to another server.

use std::net::{Ipv6Addr, TcpStream};

use pgmq_core::{
    AsyncQueue, ErrorKind, NotifyOptions, QueueError,
    backend::conninfo::{percent, quoted},
};

use crate::kit::{
    backend::{Backend, Builder},
    check::{fails_as, works},
    context::{QUEUE, TestContext},
    failure::{Failure, Outcome, error_chain},
    parts::Parts,
    table::cases,
};

cases! { connection_strings:
    direct [] an_invalid_connection_string_is_refused_and_not_shown;
    direct [] a_string_in_quotation_marks_is_refused_and_not_shown;
    direct [] a_string_of_another_form_is_refused_and_not_shown;
    direct [] an_unknown_parameter_is_refused_and_not_shown;
    direct [] a_misplaced_password_is_refused_and_not_shown;
    direct [] an_invalid_value_is_refused_by_the_name_of_its_parameter;
    direct [] a_parameter_of_another_driver_is_refused_by_its_name;
    direct [] parameters_that_change_nothing_are_accepted;
    direct [] the_last_of_several_values_counts;
    direct [] white_space_around_a_string_is_trimmed;
    direct [] special_characters_in_a_password_do_not_move_the_host;
    direct [] a_host_can_be_an_ipv6_address;
    tls [] the_certificate_of_an_ipv6_address_is_verified;
    direct [] a_url_in_place_of_a_host_is_refused_and_not_shown;
    direct [] a_pool_that_no_server_could_serve_is_refused;
    direct [] listen_url_takes_the_password_and_the_name_of_the_builder;
}

/// The password in the strings of these cases.
const SECRET: &str = "s3cret";

/// Asserts that a string is refused before anything is connected to, and that no part of it is shown. Returns
/// the text of the error.
#[track_caller]
fn refused<T, E: QueueError>(text: &str, result: Result<T, E>) -> String {
    assert!(result.is_err(), "{text}");
    let error = fails_as(ErrorKind::InvalidArgument, result.map(drop));
    let shown = format!("{} {error:?} {error:#}", error_chain(&error));
    for part in [SECRET, "cret"] {
        assert!(!shown.contains(part), "{text}: {shown}");
    }
    error.to_string()
}

async fn an_invalid_connection_string_is_refused_and_not_shown<B: Backend>(_: &TestContext<'_>) -> Outcome {
    for text in [
        "",
        " \n",
        "postgres://me:s3cret@host:port/db",
        "postgres://me:s3cret@h:70000/db",
        "postgres://me:s3cret@h:0/db",
        "postgres://me:s3cret@h,i:5432,5433/db",
        "host=h,i port=1,2,3 password=s3cret",
        "postgres://me:s3cret",
        "postgres://me:s3cret%zz@h/d",
        "postgres://me:s3cret%00@h/d",
        "postgres://me:s3cret@[::1/d",
        "postgres://me:s3cret@[cret]/d",
        "nonsense s3cret",
        "host=h password='s3cret",
        "host=h password=s3cret\\",
        "host=h password='a's3cret",
        "host=h;password=s3cret",
        "dbname=d;password=s3cret",
        "host=h&password=s3cret",
        "host=/tmp;password=s3cret",
        "postgres://me:s3cret@h/dpostgres://me:s3cret@h/d",
        "postgres://me:s3cret@h/d?sslmode=disablepostgres://me:s3cret@h/d?sslmode=disable",
    ] {
        refused(text, B::connect(text).await);
        refused(text, B::builder().url(text).password("another").connect().await);
    }
    Ok(())
}

/// `docker run --env-file` and `systemd` keep the quotation marks around a value.
async fn a_string_in_quotation_marks_is_refused_and_not_shown<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    for quoted in [
        "\"postgres://me:s3cret@h/d?sslmode=require\"",
        "'postgres://me:s3cret@h/d'",
        "“postgres://me:s3cret@h/d”",
        "`postgres://me:s3cret@h/d`",
        "\"host=h password=s3cret\"",
        "\"postgres://me:s3cret@h/d",
        "postgres://me:s3cret@h/d\"",
        "  'postgres://me:s3cret@h/d' \n",
    ] {
        let text = refused(quoted, B::connect(quoted).await);
        assert!(text.contains("quotation mark"), "{quoted}: {text}");
    }
    let quoted = format!("\"{}\"", context.url());
    assert!(refused(&quoted, B::connect(&quoted).await).contains("quotation mark"));
    Ok(())
}

async fn a_string_of_another_form_is_refused_and_not_shown<B: Backend>(_: &TestContext<'_>) -> Outcome {
    for (text, remedy) in [
        ("mysql://me:s3cret@h/d", "postgres://"),
        ("jdbc:postgresql://h/d?user=me&password=s3cret", "postgres://"),
        ("postgres:/me:s3cret@h/d", "postgres://"),
        ("me:s3cret@h/d", "postgres://"),
        ("DATABASE_URL=postgres://me:s3cret@h/d", "="),
        ("psql postgres://me:s3cret@h/d", "postgres://"),
        ("Server=h;Database=d;Password=s3cret", "parameter"),
    ] {
        let shown = refused(text, B::connect(text).await);
        assert!(shown.contains(remedy), "{text}: {shown}");
    }
    Ok(())
}

async fn an_unknown_parameter_is_refused_and_not_shown<B: Backend>(_: &TestContext<'_>) -> Outcome {
    for (text, place) in [
        ("postgres://me@h/d?sslmode=disable&s3cret=1", "after \"sslmode\""),
        ("postgres://me@h/d?password=a&s3cret=1", "after \"password\""),
        ("postgres://me@h/d?password=a&s3cret", "after \"password\""),
        ("postgres://me@h/d?s3cret=1", "first"),
        ("host=h password=a s3cret=1", "after \"password\""),
        ("host=h password=a s3cret", "after \"password\""),
        ("s3cret=1 host=h", "first"),
        ("host=h pasword=s3cret", "after \"host\""),
        ("host=h PASSWORD=s3cret", "\"password\""),
    ] {
        let shown = refused(text, B::connect(text).await);
        assert!(shown.contains(place), "{text}: {shown}");
    }
    Ok(())
}

/// A character that ends the password would make a part of it the name of a host or of a database, which
/// errors show.
async fn a_misplaced_password_is_refused_and_not_shown<B: Backend>(_: &TestContext<'_>) -> Outcome {
    for text in [
        "postgres://me:s3@cret@h/d",
        "postgres://me:s3/cret@h/d",
        "postgres://me:12/s3cret@h/d",
        "postgres://me:12/s3cret@h/d?sslmode=disable",
        "postgres://me/s3cret@h/d",
        "postgres://me;s3cret@h/d",
        "postgres://h/d;password=s3cret",
        "postgres://h/d&password=s3cret",
        "postgres://h/d#s3cret",
        "postgres://me:a@h s3cret/d",
    ] {
        refused(text, B::connect(text).await);
    }
    Ok(())
}

async fn an_invalid_value_is_refused_by_the_name_of_its_parameter<B: Backend>(
    _: &TestContext<'_>,
) -> Outcome {
    for (name, value) in [
        ("port", "s3cret"),
        ("port", "0"),
        ("connect_timeout", "s3cret"),
        ("sslmode", "s3cret"),
        ("hostaddr", "s3cret"),
        ("host", "s3cret=1"),
    ] {
        for text in [
            format!("postgres://me@h/d?{name}={}", percent(value)),
            format!("user=me {name}={}", quoted(value)),
        ] {
            let shown = refused(&text, B::connect(&text).await);
            assert!(shown.contains(name), "{text}: {shown}");
        }
    }
    Ok(())
}

/// The hosted providers' URLs have some of them.
async fn a_parameter_of_another_driver_is_refused_by_its_name<B: Backend>(_: &TestContext<'_>) -> Outcome {
    for (name, value) in [("pgbouncer", "true"), ("connection_limit", "1"), ("schema", "public")] {
        for text in [format!("postgres://me:s3cret@h/d?{name}={value}"), format!("host=h {name}={value}")] {
            let shown = refused(&text, B::connect(&text).await);
            assert!(shown.contains(&format!("\"{name}\"")) && shown.contains("remove it"), "{text}: {shown}");
        }
    }
    Ok(())
}

/// The context's URL with parameters after it.
fn with(context: &TestContext<'_>, query: &str) -> String {
    let Parts { host, port, user, password } = Parts::new(context);
    let dbname = context.name();
    format!("postgres://{user}:{password}@{host}:{port}/{dbname}?{query}")
}

async fn parameters_that_change_nothing_are_accepted<B: Backend>(context: &TestContext<'_>) -> Outcome {
    for query in [
        "channel_binding=prefer&gssencmode=disable&target_session_attrs=any",
        "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=60000",
        "connect_timeout=7&application_name=named&client_encoding=utf8&sslmode=disable",
        "application_name=&options=&&",
        "",
    ] {
        works(&B::connect(&with(context, query)).await?).await?;
    }
    Ok(())
}

async fn the_last_of_several_values_counts<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let Parts { host, port, user, password } = Parts::new(context);
    let dbname = context.name();
    // Nothing is looked up for the first host, which does not exist.
    let text = format!(
        "postgres://nobody:wrong@host.invalid:1/wrong?host={}&port={port}&user={user}&password={password}&dbname={dbname}",
        percent(&host)
    );
    works(&B::connect(&text).await?).await?;
    let text = format!(
        "host=host.invalid port=1 user=nobody host={host} port={port} user={user} password={password} dbname={dbname}"
    );
    works(&B::connect(&text).await?).await
}

async fn white_space_around_a_string_is_trimmed<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let Parts { host, port, user, password } = Parts::new(context);
    let dbname = context.name();
    let keywords = format!("host={host} port={port} user={user} password='{password}' dbname={dbname}");
    for text in [context.url(), &keywords] {
        for (before, after) in [("", "\n"), ("", "\r\n"), (" \t", " "), ("\n", "")] {
            let text = format!("{before}{text}{after}");
            works(&B::connect(&text).await?).await?;
        }
    }
    Ok(())
}

/// Returns the text that each of the URLs fails with, if any.
async fn connect_all<B: Backend>(urls: &[String]) -> Result<Vec<Option<String>>, Failure> {
    let mut failures = Vec::new();
    for url in urls {
        let connected = B::connect(url).await;
        failures.push(connected.err().map(|error| error_chain(&error)));
    }
    Ok(failures)
}

async fn special_characters_in_a_password_do_not_move_the_host<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let Parts { host, port, .. } = Parts::new(context);
    let dbname = context.name();
    let role = format!("{dbname}_role");
    let password = "12#?a:b+c[d]&e=f g";
    context.execute(&format!("CREATE ROLE \"{role}\" LOGIN SUPERUSER PASSWORD '{password}'"))?;
    let urls = [
        format!("postgres://{role}:{password}@{host}:{port}/{dbname}"),
        format!("postgres://{role}:{}@{host}:{port}/{dbname}", percent(password)),
        format!("postgres://{role}@{host}:{port}/{dbname}?password={}", percent(password)),
        format!("host={host} port={port} user={role} password={} dbname={dbname}", quoted(password)),
    ];
    let failures = connect_all::<B>(&urls).await?;
    context.terminate(&format!("usename = '{role}'"))?;
    context.execute(&format!("DROP ROLE \"{role}\""))?;
    for (url, failure) in urls.iter().zip(failures) {
        assert_eq!(failure, None, "{url}");
    }
    Ok(())
}

/// Returns `true` if the server listens on the IPv6 address of this machine.
fn listens_on_ipv6(port: u16) -> bool {
    TcpStream::connect((Ipv6Addr::LOCALHOST, port)).is_ok()
}

async fn a_host_can_be_an_ipv6_address<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let Parts { port, user, password, .. } = Parts::new(context);
    let dbname = context.name();
    if !listens_on_ipv6(port) {
        return Ok(());
    }
    for text in [
        format!("postgres://{user}:{password}@[::1]:{port}/{dbname}"),
        format!("postgres://{user}:{password}@/{dbname}?host=::1&port={port}"),
        format!("host=::1 port={port} user={user} password={password} dbname={dbname}"),
        format!("hostaddr=::1 port={port} user={user} password={password} dbname={dbname}"),
    ] {
        works(&B::connect(&text).await?).await?;
    }
    Ok(())
}

async fn the_certificate_of_an_ipv6_address_is_verified<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let Parts { port, user, password, .. } = Parts::new(context);
    let dbname = context.name();
    if !listens_on_ipv6(port) {
        return Ok(());
    }
    let by = |file: &std::path::Path| {
        let file = percent(file.to_str().expect("the path is UTF-8"));
        format!("postgres://{user}:{password}@[::1]:{port}/{dbname}?sslmode=verify-full&sslrootcert={file}")
    };
    match B::connect(&by(&context.tls().authority())).await {
        Ok(queue) => works(&queue).await?,
        refused if !B::VERIFIES_IPV6 => drop(fails_as(ErrorKind::InvalidArgument, refused.map(drop))),
        Err(error) => return Err(error.into()),
    }
    fails_as(ErrorKind::InvalidArgument, B::connect(&by(&context.tls().stranger())).await.map(drop));
    Ok(())
}

async fn a_url_in_place_of_a_host_is_refused_and_not_shown<B: Backend>(_: &TestContext<'_>) -> Outcome {
    let url = "postgres://me:s3cret@h/d";
    for builder in [
        B::builder().host(url),
        B::builder().host("me:s3cret@h"),
        B::builder().host("h").database(url),
        B::builder().host("h").username(url),
        B::builder().host("h").database("s3cret\0"),
    ] {
        refused(url, builder.connect().await);
    }
    Ok(())
}

async fn a_pool_that_no_server_could_serve_is_refused<B: Backend>(context: &TestContext<'_>) -> Outcome {
    for size in [262_144, u32::MAX] {
        let error = fails_as(
            ErrorKind::InvalidArgument,
            B::builder().url(context.url()).pool_size(size).connect().await.map(drop),
        );
        assert!(error.to_string().contains("262143"), "{error}");
    }
    Ok(())
}

async fn listen_url_takes_the_password_and_the_name_of_the_builder<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let Parts { host, port, user, password } = Parts::new(context);
    let dbname = context.name();
    let own = format!("postgres://{user}@{host}:{port}/{dbname}");
    let builder = B::builder().url(context.url()).password(&password).application_name("listens_as_told");
    let queue = builder.listen_url(&own).connect().await?;
    queue.enable_notify_with(QUEUE, &NotifyOptions::new()).await?;
    let listener = B::listen(&queue, &[QUEUE]).await?;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name = 'listens_as_told' AND query LIKE 'LISTEN%'";
    assert_eq!(context.query_value(sessions)?, "1");
    drop(listener);
    // The URL's own name takes precedence.
    let builder = B::builder().url(context.url()).password(&password).application_name("listens_as_told");
    let queue = builder.listen_url(&format!("{own}?application_name=by_the_url")).connect().await?;
    let _listener = B::listen(&queue, &[QUEUE]).await?;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name = 'by_the_url' AND query LIKE 'LISTEN%'";
    assert_eq!(context.query_value(sessions)?, "1");
    Ok(())
}
