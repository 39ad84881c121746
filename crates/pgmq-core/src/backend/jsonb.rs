//! `jsonb` as the wire carries it.

use crate::CellError;

/// The JSON text of a `jsonb` in the binary format: what stands behind its version number, which is 1.
///
/// # Errors
///
/// When the version is another, or there is none.
pub fn jsonb_text(raw: &[u8]) -> Result<&[u8], CellError> {
    match raw {
        [1, text @ ..] => Ok(text),
        [version, ..] => Err(format!("jsonb of version {version} is not known").into()),
        [] => Err("jsonb without a version".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_known_version_is_read() {
        assert_eq!(jsonb_text(b"\x01{}").unwrap(), b"{}");
        assert!(jsonb_text(b"\x02{}").unwrap_err().to_string().contains("version 2"));
        assert!(jsonb_text(b"").is_err());
    }
}
