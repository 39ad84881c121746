//! Encrypted connections.
//!
//! The server is `localhost` by its certificate, and not `127.0.0.1`. Whether a connection is encrypted, the server says.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use pgmq_core::{
    AsyncQueue, ErrorKind, Notification, NotifyOptions, QueueError,
    backend::conninfo::{percent, quoted},
};

use super::{
    Backend, Builder, Failure, Listener, Outcome, Q, World,
    case::cases,
    check::{fails_as, story},
    child,
    setup::{Parts, parts},
};

cases! { tls:
    without_tls [] what_asks_for_tls_that_is_not_compiled_in_says_which_feature_to_switch_on;
    direct [] prefer_is_not_encrypted_on_a_server_without_tls;
    direct [] require_is_refused_on_a_server_without_tls;
    tls [] disable_is_not_encrypted;
    tls [] prefer_is_encrypted_whoever_signed_the_certificate;
    tls [] require_is_encrypted;
    tls [] verify_full_takes_a_certificate_for_the_name_by_the_authority_that_is_named;
    tls [] verify_ca_takes_a_certificate_for_any_name_by_the_authority_that_is_named;
    tls [] verify_full_trusts_whom_the_system_trusts_unless_told;
    tls [] whom_the_system_trusts_is_trusted;
    tls [] a_certificate_that_has_expired_is_refused;
    tls [] a_libpq_string_says_the_same_as_a_url;
    tls [] a_server_may_be_known_by_its_address_alone;
    tls [] what_is_no_sslmode_is_refused;
    tls [] a_file_that_cannot_be_used_is_refused;
    tls [] a_client_logs_in_by_its_certificate;
    tls [] a_client_without_the_right_certificate_is_refused;
    tls [] a_wrong_password_is_refused_and_not_shown_by_tls_either;
    tls [] listening_is_encrypted_as_its_own_url_says;
    tls [] nothing_secret_is_shown_by_an_encrypted_queue;
}

const SOON: Duration = Duration::from_secs(8);

/// What all connections here are called on the server.
const NAME: &str = "in_tls";

/// The URL of the world's database, at one of the names of the server.
fn url(world: &World<'_>, host: &str, query: &str) -> String {
    let Parts { port, user, password, .. } = parts(world);
    let dbname = world.name();
    format!("postgres://{user}:{password}@{host}:{port}/{dbname}?application_name={NAME}&{query}")
}

/// A file as a value in a URL.
fn file(path: &Path) -> String {
    percent(path.to_str().expect("its name was made of text"))
}

/// Whether the server says that the sessions of these cases are encrypted.
fn sessions_are_encrypted(world: &World<'_>) -> Result<bool, Failure> {
    let said = world.ask(&format!(
        "SELECT string_agg(DISTINCT ssl::text, ' and ') FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE datname = current_database() AND application_name = '{NAME}'"
    ))?;
    // None, or some so and some so, is neither.
    Ok(said.parse()?)
}

/// Connects, works, and says whether all of that was encrypted.
async fn is_encrypted<B: Backend>(world: &World<'_>, url: &str) -> Result<bool, Failure> {
    let queue = B::connect(url).await?;
    let id = queue.send(Q, "works").await?;
    assert_eq!(queue.pop::<String>(Q).await?.unwrap().msg_id, id);
    // The pool makes the second by itself.
    let sessions = [B::session(&queue).await?, B::session(&queue).await?];
    let encrypted = sessions_are_encrypted(world)?;
    drop(sessions);
    B::close(queue).await;
    world.wait_until(&format!(
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{NAME}')"
    ))?;
    Ok(encrypted)
}

/// Checks that connecting is refused at once, for good, and with nothing secret said.
async fn refused<B: Backend>(world: &World<'_>, kind: ErrorKind, url: &str) -> B::Error {
    let started = Instant::now();
    let error = fails_as(kind, B::connect(url).await.map(drop));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(!error.is_transient());
    shows_nothing_secret(world, &format!("{} {error:?}", story(&error)));
    error
}

/// Checks that the server's certificate is refused, and that the error says what to do.
async fn is_not_trusted<B: Backend>(world: &World<'_>, url: &str) {
    let error = refused::<B>(world, ErrorKind::InvalidArgument, url).await;
    assert!(error.to_string().contains("sslrootcert"), "{}", story(&error));
}

/// Checks that a text has neither the password in it nor a line of a key.
fn shows_nothing_secret(world: &World<'_>, text: &str) {
    let (_, key) = world.tls().client("certified");
    let key = fs::read_to_string(key).expect("it was written");
    let garbage = fs::read_to_string(world.tls().garbage()).expect("it was written");
    let Parts { password, .. } = parts(world);
    let secrets = key.lines().filter(|line| !line.starts_with('-')).chain(garbage.lines());
    assert!(secrets.chain([password.as_str()]).all(|secret| !text.contains(secret)), "{text}");
}

async fn what_asks_for_tls_that_is_not_compiled_in_says_which_feature_to_switch_on<B: Backend>(
    world: &World<'_>,
) -> Outcome {
    let Parts { host, port, user, password } = parts(world);
    let dbname = world.name();
    for asked in ["sslmode=require", "sslmode=verify-full"] {
        let text =
            format!("host={host} port={port} user={user} password='{password}' dbname={dbname} {asked}");
        let error = fails_as(ErrorKind::InvalidArgument, B::connect(&text).await.map(drop));
        assert!(B::TLS_FEATURES.iter().all(|feature| error.to_string().contains(feature)), "{error}");
    }
    Ok(())
}

async fn prefer_is_not_encrypted_on_a_server_without_tls<B: Backend>(world: &World<'_>) -> Outcome {
    if world.ask("SHOW ssl")? == "off" && world.config().get_hosts().len() == 1 {
        for query in ["", "sslmode=prefer"] {
            let Parts { host, .. } = parts(world);
            assert!(!is_encrypted::<B>(world, &url(world, &percent(&host), query)).await?, "{query}");
        }
    }
    Ok(())
}

async fn require_is_refused_on_a_server_without_tls<B: Backend>(world: &World<'_>) -> Outcome {
    if world.ask("SHOW ssl")? == "off" {
        for mode in ["require", "verify-full"] {
            let Parts { host, .. } = parts(world);
            let url = url(world, &percent(&host), &format!("sslmode={mode}"));
            let error = fails_as(ErrorKind::InvalidArgument, B::connect(&url).await.map(drop));
            assert!(!error.is_transient(), "{mode}");
        }
    }
    Ok(())
}

async fn disable_is_not_encrypted<B: Backend>(world: &World<'_>) -> Outcome {
    assert!(!is_encrypted::<B>(world, &url(world, "localhost", "sslmode=disable")).await?);
    Ok(())
}

async fn prefer_is_encrypted_whoever_signed_the_certificate<B: Backend>(world: &World<'_>) -> Outcome {
    for (host, query) in [("localhost", ""), ("127.0.0.1", "sslmode=prefer")] {
        assert!(is_encrypted::<B>(world, &url(world, host, query)).await?, "{query}");
    }
    Ok(())
}

async fn require_is_encrypted<B: Backend>(world: &World<'_>) -> Outcome {
    let named = format!("sslmode=require&sslrootcert={}", file(&world.tls().authority()));
    assert!(is_encrypted::<B>(world, &url(world, "localhost", &named)).await?);
    let unnamed = url(world, "localhost", "sslmode=require");
    if B::REQUIRE_VERIFIES {
        is_not_trusted::<B>(world, &unnamed).await;
        is_not_trusted::<B>(world, &url(world, "127.0.0.1", &named)).await;
    } else {
        assert!(is_encrypted::<B>(world, &unnamed).await?);
    }
    // Whoever names an authority wants no other.
    let stranger = format!("sslmode=require&sslrootcert={}", file(&world.tls().stranger()));
    is_not_trusted::<B>(world, &url(world, "localhost", &stranger)).await;
    Ok(())
}

async fn verify_full_takes_a_certificate_for_the_name_by_the_authority_that_is_named<B: Backend>(
    world: &World<'_>,
) -> Outcome {
    let by = |authority: &Path| format!("sslmode=verify-full&sslrootcert={}", file(authority));
    let (authority, stranger) = (by(&world.tls().authority()), by(&world.tls().stranger()));
    assert!(is_encrypted::<B>(world, &url(world, "localhost", &authority)).await?);
    is_not_trusted::<B>(world, &url(world, "127.0.0.1", &authority)).await;
    is_not_trusted::<B>(world, &url(world, "localhost", &stranger)).await;
    Ok(())
}

async fn verify_ca_takes_a_certificate_for_any_name_by_the_authority_that_is_named<B: Backend>(
    world: &World<'_>,
) -> Outcome {
    let by = |authority: &Path| format!("sslmode=verify-ca&sslrootcert={}", file(authority));
    let (authority, stranger) = (by(&world.tls().authority()), by(&world.tls().stranger()));
    for host in ["localhost", "127.0.0.1"] {
        assert!(is_encrypted::<B>(world, &url(world, host, &authority)).await?, "{host}");
        is_not_trusted::<B>(world, &url(world, host, &stranger)).await;
    }
    Ok(())
}

async fn verify_full_trusts_whom_the_system_trusts_unless_told<B: Backend>(world: &World<'_>) -> Outcome {
    for query in ["sslmode=verify-full", "sslmode=verify-full&sslrootcert=system"] {
        is_not_trusted::<B>(world, &url(world, "localhost", query)).await;
    }
    Ok(())
}

/// A child is told by a variable where the system has the certificates that it trusts.
async fn whom_the_system_trusts_is_trusted<B: Backend>(world: &World<'_>) -> Outcome {
    let url = url(world, "localhost", "sslmode=verify-full&sslrootcert=system");
    let (authority, stranger) = (world.tls().authority(), world.tls().stranger());
    let trusting = |trusted: &Path| {
        let trusted = trusted.to_str().expect("its name was made of text");
        child::with_variables(&[("DATABASE_URL", &url), ("SSL_CERT_FILE", trusted)])
    };
    assert_eq!(trusting(&authority)?, "sent 1");
    assert_eq!(trusting(&stranger)?, "connect: InvalidArgument");
    Ok(())
}

async fn a_certificate_that_has_expired_is_refused<B: Backend>(world: &World<'_>) -> Outcome {
    let port = world.tls().expired_port();
    let url = |query: &str| format!("postgres://postgres:wrong@localhost:{port}/postgres?{query}");
    for mode in ["verify-full", "verify-ca"] {
        let authority = file(&world.tls().authority());
        is_not_trusted::<B>(world, &url(&format!("sslmode={mode}&sslrootcert={authority}"))).await;
    }
    // Nothing else is wrong with that server: who does not look at the certificate comes as far as the password.
    refused::<B>(world, ErrorKind::PermissionDenied, &url("sslmode=prefer")).await;
    Ok(())
}

async fn a_libpq_string_says_the_same_as_a_url<B: Backend>(world: &World<'_>) -> Outcome {
    let Parts { port, user, password, .. } = parts(world);
    let dbname = world.name();
    let authority = quoted(world.tls().authority().to_str().unwrap());
    let text = |host| {
        format!(
            "host={host} port={port} user={user} password={password} dbname={dbname} application_name={NAME} \
             sslmode=verify-full sslrootcert={authority}"
        )
    };
    assert!(is_encrypted::<B>(world, &text("localhost")).await?);
    is_not_trusted::<B>(world, &text("127.0.0.1")).await;
    Ok(())
}

async fn a_server_may_be_known_by_its_address_alone<B: Backend>(world: &World<'_>) -> Outcome {
    let Parts { port, user, password, .. } = parts(world);
    let dbname = world.name();
    let authority = quoted(world.tls().authority().to_str().unwrap());
    let text = |asked: &str| {
        format!(
            "hostaddr=127.0.0.1 port={port} user={user} password={password} dbname={dbname} application_name={NAME} {asked}"
        )
    };
    assert!(is_encrypted::<B>(world, &text("")).await?);
    assert!(is_encrypted::<B>(world, &text(&format!("sslmode=verify-ca sslrootcert={authority}"))).await?);
    is_not_trusted::<B>(world, &text(&format!("sslmode=verify-full sslrootcert={authority}"))).await;
    Ok(())
}

async fn what_is_no_sslmode_is_refused<B: Backend>(world: &World<'_>) -> Outcome {
    refused::<B>(world, ErrorKind::InvalidArgument, &url(world, "localhost", "sslmode=verify")).await;
    Ok(())
}

async fn a_file_that_cannot_be_used_is_refused<B: Backend>(world: &World<'_>) -> Outcome {
    let tls = world.tls();
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
        let url = url(world, "localhost", &format!("sslmode=verify-full&{query}"));
        refused::<B>(world, ErrorKind::InvalidArgument, &url).await;
    }
    Ok(())
}

/// The URL by which a role logs in with a certificate of this name.
fn url_of_client(world: &World<'_>, client: Option<&str>) -> String {
    let Parts { port, .. } = parts(world);
    let dbname = world.name();
    let authority = file(&world.tls().authority());
    let shown = client.map(|name| {
        let (certificate, key) = world.tls().client(name);
        format!("&sslcert={}&sslkey={}", file(&certificate), file(&key))
    });
    let shown = shown.unwrap_or_default();
    format!(
        "postgres://certified@localhost:{port}/{dbname}?application_name={NAME}&sslmode=verify-full\
         &sslrootcert={authority}{shown}"
    )
}

async fn a_client_logs_in_by_its_certificate<B: Backend>(world: &World<'_>) -> Outcome {
    assert!(is_encrypted::<B>(world, &url_of_client(world, Some("certified"))).await?);
    Ok(())
}

async fn a_client_without_the_right_certificate_is_refused<B: Backend>(world: &World<'_>) -> Outcome {
    for client in [None, Some("somebody")] {
        let error = refused::<B>(world, ErrorKind::PermissionDenied, &url_of_client(world, client)).await;
        world.has_sqlstate(&error, "28000");
    }
    // The server ends the handshake and says why. It may have closed the connection before that is read.
    let foreign = B::connect(&url_of_client(world, Some("foreign"))).await.map(drop);
    let error = foreign.expect_err("the authority does not know it");
    assert!(matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Connection), "{}", story(&error));
    shows_nothing_secret(world, &format!("{} {error:?}", story(&error)));
    Ok(())
}

async fn a_wrong_password_is_refused_and_not_shown_by_tls_either<B: Backend>(world: &World<'_>) -> Outcome {
    let authority = file(&world.tls().authority());
    let url = url(world, "localhost", &format!("sslmode=verify-full&sslrootcert={authority}"));
    let started = Instant::now();
    let connected = B::builder().url(&url).password("s3cret-and-wrong").connect().await;
    let error = fails_as(ErrorKind::PermissionDenied, connected.map(drop));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    world.has_sqlstate(&error, "28P01");
    let story = story(&error);
    assert!(story.contains("password authentication failed for user"), "{story}");
    assert!(!error.is_transient() && !format!("{story} {error:?}").contains("s3cret"), "{error:?}");
    Ok(())
}

async fn listening_is_encrypted_as_its_own_url_says<B: Backend>(world: &World<'_>) -> Outcome {
    let authority = file(&world.tls().authority());
    let encrypted = |host| url(world, host, &format!("sslmode=verify-full&sslrootcert={authority}"));
    let in_the_clear = url(world, "localhost", "sslmode=disable").replace(NAME, "in_the_clear");
    let queue = B::builder().url(&in_the_clear).listen_url(&encrypted("localhost")).connect().await?;
    queue.enable_notify_with(Q, &NotifyOptions::new()).await?;
    let mut listener = B::listen(&queue, &[Q]).await?;
    queue.send(Q, &1).await?;
    let inserted = Some(Notification::Inserted { queue: Q.to_owned() });
    assert_eq!(listener.next_timeout(SOON).await?, inserted);
    assert!(sessions_are_encrypted(world)?);
    drop(listener);
    let wrong_name = B::builder().url(&in_the_clear).listen_url(&encrypted("127.0.0.1")).connect().await?;
    let error = fails_as(ErrorKind::InvalidArgument, B::listen(&wrong_name, &[Q]).await.map(drop));
    assert!(error.to_string().contains("sslrootcert"), "{}", story(&error));
    Ok(())
}

async fn nothing_secret_is_shown_by_an_encrypted_queue<B: Backend>(world: &World<'_>) -> Outcome {
    let queue = B::connect(&url_of_client(world, Some("certified"))).await?;
    shows_nothing_secret(world, &format!("{queue:?}"));
    Ok(())
}
