//! Identifies contents.

/// The SHA-256 digest of a content in lower-case hex.
pub fn digest_of(content: &[u8]) -> String {
    hex::encode(<sha2::Sha256 as sha2::Digest>::digest(content))
}
