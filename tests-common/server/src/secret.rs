//! The secret that a server stores for a password.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Returns the SCRAM secret of a password with one iteration instead of the usual 4096.
///
/// Clients repeat the iterations for every connection, which takes 70 ms in a debug build. Iterations protect
/// passwords that people choose; passwords of tests are random.
pub(crate) fn scram_secret(password: &str) -> String {
    let salt = b"pgmq test server";
    // RFC 5802: with one iteration, the input of its only round is the salt and the number 1.
    let salted = hmac(password.as_bytes(), &[salt.as_slice(), &[0, 0, 0, 1]].concat());
    let stored_key = Sha256::digest(hmac(&salted, b"Client Key"));
    let server_key = hmac(&salted, b"Server Key");
    format!(
        "SCRAM-SHA-256$1:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key)
    )
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC accepts a key of any length; the error exists for other kinds of codes.
    let Ok(mut code) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    code.update(message);
    code.finalize().into_bytes().to_vec()
}
