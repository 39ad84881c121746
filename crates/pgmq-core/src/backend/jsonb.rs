//! `jsonb` in the binary format of the wire.

use crate::row::CellError;

/// The JSON text of a `jsonb` in the binary format, in which the text follows the version number 1.
///
/// # Errors
///
/// [`CellError`], if the version number is missing, or another one.
pub fn jsonb_text(raw: &[u8]) -> Result<&[u8], CellError> {
    match raw {
        [1, text @ ..] => Ok(text),
        [version, ..] => Err(format!("a jsonb has the version {version}, which is not supported").into()),
        [] => Err("a jsonb has no version".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_1_is_supported() {
        assert_eq!(jsonb_text(b"\x01{}").unwrap(), b"{}");
        assert!(jsonb_text(b"\x02{}").unwrap_err().to_string().contains("version 2"));
        assert!(jsonb_text(b"").is_err());
    }
}
