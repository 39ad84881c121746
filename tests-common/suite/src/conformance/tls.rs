//! Encrypted connections.
//!
//! The server's certificate is valid for `localhost`, and not for `127.0.0.1`. The server itself reports
//! which connections are encrypted.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use pgmq_core::{
    AsyncQueue, ErrorKind, Notification, NotifyOptions, QueueError,
    backend::conninfo::{percent, quoted},
};

use crate::kit::{
    backend::{Backend, Builder, Listener},
    check::fails_as,
    child,
    context::{QUEUE, TestContext},
    failure::{Failure, Outcome, error_chain},
    parts::Parts,
    table::cases,
};

cases! { tls:
    without_tls [] requiring_tls_without_the_feature_names_the_feature;
    direct [] prefer_is_not_encrypted_on_a_server_without_tls;
    direct [] require_is_refused_on_a_server_without_tls;
    tls [] disable_is_not_encrypted;
    tls [] prefer_is_encrypted_regardless_of_the_certificate;
    tls [] require_is_encrypted;
    tls [] verify_full_accepts_the_named_authority_for_the_right_host_only;
    tls [] verify_ca_accepts_the_named_authority_for_any_host;
    tls [] verify_full_trusts_the_authorities_of_the_system_by_default;
    tls [] an_authority_that_the_system_trusts_is_trusted;
    tls [] an_expired_certificate_is_refused;
    tls [] a_libpq_string_has_the_same_effect_as_a_url;
    tls [] a_server_can_be_given_by_its_address_alone;
    tls [] an_invalid_sslmode_is_refused;
    tls [] an_unusable_file_is_refused;
    tls [] a_client_logs_in_with_its_certificate;
    tls [] a_client_without_the_right_certificate_is_refused;
    tls [] a_wrong_password_is_refused_and_not_shown_with_tls;
    tls [] listening_is_encrypted_according_to_the_listen_url;
    tls [] debug_of_an_encrypted_queue_shows_no_secret;
}

const SOON: Duration = Duration::from_secs(8);

/// `application_name` of all connections of these cases.
const NAME: &str = "in_tls";

/// The URL of the context's database, with one of the host names of the server.
fn url(context: &TestContext<'_>, host: &str, query: &str) -> String {
    let Parts { port, user, password, .. } = Parts::new(context);
    let dbname = context.name();
    format!("postgres://{user}:{password}@{host}:{port}/{dbname}?application_name={NAME}&{query}")
}

/// The path of a file as a value in a URL.
fn file(path: &Path) -> String {
    percent(path.to_str().expect("the path is UTF-8"))
}

/// Returns `true` if the server reports that the sessions of these cases are encrypted.
fn sessions_are_encrypted(context: &TestContext<'_>) -> Result<bool, Failure> {
    let reported = context.query_value(&format!(
        "SELECT string_agg(DISTINCT ssl::text, ' and ') FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE datname = current_database() AND application_name = '{NAME}'"
    ))?;
    // Parsing fails if there are no sessions, or sessions of both kinds.
    Ok(reported.parse()?)
}

/// Connects, uses the queue, and returns `true` if all connections were encrypted.
async fn is_encrypted<B: Backend>(context: &TestContext<'_>, url: &str) -> Result<bool, Failure> {
    let queue = B::connect(url).await?;
    let id = queue.send(QUEUE, "works").await?;
    assert_eq!(queue.pop::<String>(QUEUE).await?.unwrap().msg_id, id);
    // The pool opens the second connection itself.
    let sessions = [B::session(&queue).await?, B::session(&queue).await?];
    let encrypted = sessions_are_encrypted(context)?;
    drop(sessions);
    B::close(queue).await;
    context.wait_until(&format!(
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{NAME}')"
    ))?;
    Ok(encrypted)
}

/// Asserts that connecting fails immediately with an error that is not transient and shows no secret.
async fn refused<B: Backend>(context: &TestContext<'_>, kind: ErrorKind, url: &str) -> B::Error {
    let started = Instant::now();
    let error = fails_as(kind, B::connect(url).await.map(drop));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(!error.is_transient());
    shows_nothing_secret(context, &format!("{} {error:?}", error_chain(&error)));
    error
}

/// Asserts that the server's certificate is refused, with an error that names the setting to change.
async fn is_not_trusted<B: Backend>(context: &TestContext<'_>, url: &str) {
    let error = refused::<B>(context, ErrorKind::InvalidArgument, url).await;
    assert!(error.to_string().contains("sslrootcert"), "{}", error_chain(&error));
}

/// Asserts that a text contains neither the password nor a line of a key.
fn shows_nothing_secret(context: &TestContext<'_>, text: &str) {
    let (_, key) = context.tls().client("certified");
    let key = fs::read_to_string(key).expect("the file exists");
    let garbage = fs::read_to_string(context.tls().garbage()).expect("the file exists");
    let Parts { password, .. } = Parts::new(context);
    let secrets = key.lines().filter(|line| !line.starts_with('-')).chain(garbage.lines());
    assert!(secrets.chain([password.as_str()]).all(|secret| !text.contains(secret)), "{text}");
}

async fn requiring_tls_without_the_feature_names_the_feature<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let Parts { host, port, user, password } = Parts::new(context);
    let dbname = context.name();
    for asked in ["sslmode=require", "sslmode=verify-full"] {
        let text =
            format!("host={host} port={port} user={user} password='{password}' dbname={dbname} {asked}");
        let error = fails_as(ErrorKind::InvalidArgument, B::connect(&text).await.map(drop));
        assert!(B::TLS_FEATURES.iter().all(|feature| error.to_string().contains(feature)), "{error}");
    }
    Ok(())
}

async fn prefer_is_not_encrypted_on_a_server_without_tls<B: Backend>(context: &TestContext<'_>) -> Outcome {
    if context.query_value("SHOW ssl")? == "off" && context.config().get_hosts().len() == 1 {
        for query in ["", "sslmode=prefer"] {
            let Parts { host, .. } = Parts::new(context);
            assert!(!is_encrypted::<B>(context, &url(context, &percent(&host), query)).await?, "{query}");
        }
    }
    Ok(())
}

async fn require_is_refused_on_a_server_without_tls<B: Backend>(context: &TestContext<'_>) -> Outcome {
    if context.query_value("SHOW ssl")? == "off" {
        for mode in ["require", "verify-full"] {
            let Parts { host, .. } = Parts::new(context);
            let url = url(context, &percent(&host), &format!("sslmode={mode}"));
            let error = fails_as(ErrorKind::InvalidArgument, B::connect(&url).await.map(drop));
            assert!(!error.is_transient(), "{mode}");
        }
    }
    Ok(())
}

async fn disable_is_not_encrypted<B: Backend>(context: &TestContext<'_>) -> Outcome {
    assert!(!is_encrypted::<B>(context, &url(context, "localhost", "sslmode=disable")).await?);
    Ok(())
}

async fn prefer_is_encrypted_regardless_of_the_certificate<B: Backend>(context: &TestContext<'_>) -> Outcome {
    for (host, query) in [("localhost", ""), ("127.0.0.1", "sslmode=prefer")] {
        assert!(is_encrypted::<B>(context, &url(context, host, query)).await?, "{query}");
    }
    Ok(())
}

async fn require_is_encrypted<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let named = format!("sslmode=require&sslrootcert={}", file(&context.tls().authority()));
    assert!(is_encrypted::<B>(context, &url(context, "localhost", &named)).await?);
    let unnamed = url(context, "localhost", "sslmode=require");
    if B::REQUIRE_VERIFIES {
        is_not_trusted::<B>(context, &unnamed).await;
        is_not_trusted::<B>(context, &url(context, "127.0.0.1", &named)).await;
    } else {
        assert!(is_encrypted::<B>(context, &unnamed).await?);
    }
    // A named authority is the only one that is trusted.
    let stranger = format!("sslmode=require&sslrootcert={}", file(&context.tls().stranger()));
    is_not_trusted::<B>(context, &url(context, "localhost", &stranger)).await;
    Ok(())
}

async fn verify_full_accepts_the_named_authority_for_the_right_host_only<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let by = |authority: &Path| format!("sslmode=verify-full&sslrootcert={}", file(authority));
    let (authority, stranger) = (by(&context.tls().authority()), by(&context.tls().stranger()));
    assert!(is_encrypted::<B>(context, &url(context, "localhost", &authority)).await?);
    is_not_trusted::<B>(context, &url(context, "127.0.0.1", &authority)).await;
    is_not_trusted::<B>(context, &url(context, "localhost", &stranger)).await;
    Ok(())
}

async fn verify_ca_accepts_the_named_authority_for_any_host<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let by = |authority: &Path| format!("sslmode=verify-ca&sslrootcert={}", file(authority));
    let (authority, stranger) = (by(&context.tls().authority()), by(&context.tls().stranger()));
    for host in ["localhost", "127.0.0.1"] {
        assert!(is_encrypted::<B>(context, &url(context, host, &authority)).await?, "{host}");
        is_not_trusted::<B>(context, &url(context, host, &stranger)).await;
    }
    Ok(())
}

async fn verify_full_trusts_the_authorities_of_the_system_by_default<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    for query in ["sslmode=verify-full", "sslmode=verify-full&sslrootcert=system"] {
        is_not_trusted::<B>(context, &url(context, "localhost", query)).await;
    }
    Ok(())
}

/// A child process gets the file of the system's authorities by an environment variable.
async fn an_authority_that_the_system_trusts_is_trusted<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let url = url(context, "localhost", "sslmode=verify-full&sslrootcert=system");
    let (authority, stranger) = (context.tls().authority(), context.tls().stranger());
    let trusting = |trusted: &Path| {
        let trusted = trusted.to_str().expect("the path is UTF-8");
        child::with_variables(&[("DATABASE_URL", &url), ("SSL_CERT_FILE", trusted)])
    };
    assert_eq!(trusting(&authority)?, "sent 1");
    assert_eq!(trusting(&stranger)?, "connect: InvalidArgument");
    Ok(())
}

async fn an_expired_certificate_is_refused<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let port = context.tls().expired_port();
    let url = |query: &str| format!("postgres://postgres:wrong@localhost:{port}/postgres?{query}");
    for mode in ["verify-full", "verify-ca"] {
        let authority = file(&context.tls().authority());
        is_not_trusted::<B>(context, &url(&format!("sslmode={mode}&sslrootcert={authority}"))).await;
    }
    // The certificate is the only problem of that server: a client that does not verify it fails on the
    // password.
    refused::<B>(context, ErrorKind::PermissionDenied, &url("sslmode=prefer")).await;
    Ok(())
}

async fn a_libpq_string_has_the_same_effect_as_a_url<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let Parts { port, user, password, .. } = Parts::new(context);
    let dbname = context.name();
    let authority = quoted(context.tls().authority().to_str().unwrap());
    let text = |host| {
        format!(
            "host={host} port={port} user={user} password={password} dbname={dbname} application_name={NAME} \
             sslmode=verify-full sslrootcert={authority}"
        )
    };
    assert!(is_encrypted::<B>(context, &text("localhost")).await?);
    is_not_trusted::<B>(context, &text("127.0.0.1")).await;
    Ok(())
}

async fn a_server_can_be_given_by_its_address_alone<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let Parts { port, user, password, .. } = Parts::new(context);
    let dbname = context.name();
    let authority = quoted(context.tls().authority().to_str().unwrap());
    let text = |asked: &str| {
        format!(
            "hostaddr=127.0.0.1 port={port} user={user} password={password} dbname={dbname} application_name={NAME} {asked}"
        )
    };
    assert!(is_encrypted::<B>(context, &text("")).await?);
    assert!(is_encrypted::<B>(context, &text(&format!("sslmode=verify-ca sslrootcert={authority}"))).await?);
    is_not_trusted::<B>(context, &text(&format!("sslmode=verify-full sslrootcert={authority}"))).await;
    Ok(())
}

async fn an_invalid_sslmode_is_refused<B: Backend>(context: &TestContext<'_>) -> Outcome {
    refused::<B>(context, ErrorKind::InvalidArgument, &url(context, "localhost", "sslmode=verify")).await;
    Ok(())
}

async fn an_unusable_file_is_refused<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let tls = context.tls();
    let (garbage, missing) = (file(&tls.garbage()), file(&tls.garbage().with_extension("missing")));
    let (certificate, key) = tls.client("certified");
    let (certificate, key) = (file(&certificate), file(&key));
    let (_, other_key) = tls.client("somebody");
    for query in [
        format!("sslrootcert={garbage}"),
        format!("sslrootcert={missing}"),
        format!("sslrootcert={key}"),
        format!("sslrootcert={}&sslcert={certificate}&sslkey={missing}", file(&tls.authority())),
        format!("sslrootcert={}&sslcert={certificate}&sslkey={garbage}", file(&tls.authority())),
        format!("sslrootcert={}&sslcert={garbage}&sslkey={key}", file(&tls.authority())),
        format!("sslrootcert={}&sslcert={certificate}&sslkey={}", file(&tls.authority()), file(&other_key)),
    ] {
        let url = url(context, "localhost", &format!("sslmode=verify-full&{query}"));
        refused::<B>(context, ErrorKind::InvalidArgument, &url).await;
    }
    Ok(())
}

/// The URL for the role `certified`, with the certificate of this client.
fn url_of_client(context: &TestContext<'_>, client: Option<&str>) -> String {
    let Parts { port, .. } = Parts::new(context);
    let dbname = context.name();
    let authority = file(&context.tls().authority());
    let shown = client.map(|name| {
        let (certificate, key) = context.tls().client(name);
        format!("&sslcert={}&sslkey={}", file(&certificate), file(&key))
    });
    let shown = shown.unwrap_or_default();
    format!(
        "postgres://certified@localhost:{port}/{dbname}?application_name={NAME}&sslmode=verify-full\
         &sslrootcert={authority}{shown}"
    )
}

async fn a_client_logs_in_with_its_certificate<B: Backend>(context: &TestContext<'_>) -> Outcome {
    assert!(is_encrypted::<B>(context, &url_of_client(context, Some("certified"))).await?);
    Ok(())
}

async fn a_client_without_the_right_certificate_is_refused<B: Backend>(context: &TestContext<'_>) -> Outcome {
    for client in [None, Some("somebody")] {
        let error = refused::<B>(context, ErrorKind::PermissionDenied, &url_of_client(context, client)).await;
        context.assert_sqlstate(&error, "28000");
    }
    // The server rejects the certificate with an alert. The connection may be closed before the client reads
    // it.
    let foreign = B::connect(&url_of_client(context, Some("foreign"))).await.map(drop);
    let error = foreign.expect_err("the authority has not signed the certificate");
    assert!(
        matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Connection),
        "{}",
        error_chain(&error)
    );
    shows_nothing_secret(context, &format!("{} {error:?}", error_chain(&error)));
    Ok(())
}

async fn a_wrong_password_is_refused_and_not_shown_with_tls<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let authority = file(&context.tls().authority());
    let url = url(context, "localhost", &format!("sslmode=verify-full&sslrootcert={authority}"));
    let started = Instant::now();
    let connected = B::builder().url(&url).password("s3cret-and-wrong").connect().await;
    let error = fails_as(ErrorKind::PermissionDenied, connected.map(drop));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    context.assert_sqlstate(&error, "28P01");
    let text = error_chain(&error);
    assert!(text.contains("password authentication failed for user"), "{text}");
    assert!(!error.is_transient() && !format!("{text} {error:?}").contains("s3cret"), "{error:?}");
    Ok(())
}

async fn listening_is_encrypted_according_to_the_listen_url<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let authority = file(&context.tls().authority());
    let encrypted = |host| url(context, host, &format!("sslmode=verify-full&sslrootcert={authority}"));
    let in_the_clear = url(context, "localhost", "sslmode=disable").replace(NAME, "in_the_clear");
    let queue = B::builder().url(&in_the_clear).listen_url(&encrypted("localhost")).connect().await?;
    queue.enable_notify_with(QUEUE, &NotifyOptions::new()).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    queue.send(QUEUE, &1).await?;
    let inserted = Some(Notification::inserted(QUEUE));
    assert_eq!(listener.next_timeout(SOON).await?, inserted);
    assert!(sessions_are_encrypted(context)?);
    drop(listener);
    let wrong_name = B::builder().url(&in_the_clear).listen_url(&encrypted("127.0.0.1")).connect().await?;
    let error = fails_as(ErrorKind::InvalidArgument, B::listen(&wrong_name, &[QUEUE]).await.map(drop));
    assert!(error.to_string().contains("sslrootcert"), "{}", error_chain(&error));
    Ok(())
}

async fn debug_of_an_encrypted_queue_shows_no_secret<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = B::connect(&url_of_client(context, Some("certified"))).await?;
    shows_nothing_secret(context, &format!("{queue:?}"));
    Ok(())
}
