//! The signatures of a delivery's query and of an encrypted reply.
//!
//! `signature` covers the token, the timestamp and the nonce; `msg_signature` covers `Encrypt` too. Only the second one vouches for
//! the content: the first can be replayed with another body.

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// The signature of these parts, in whatever order they are given: lower-case hex of the SHA-1 of the parts, sorted by bytes and
/// joined without a separator.
pub fn sign(parts: &[&str]) -> String {
    let mut parts = parts.to_vec();
    parts.sort_unstable();
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

/// Whether `signature` is exactly what [`sign`] gives, compared in constant time: the right answer is a secret, since whoever learns
/// it byte by byte can forge a delivery without the token.
pub fn verify(parts: &[&str], signature: &str) -> bool {
    sign(parts).as_bytes().ct_eq(signature.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const T3: &[&str] = &["AAAAA", "1714036504", "1514711492"];
    const T3_SIGNATURE: &str = "f464b24fc39322e44b38aa78f5edd27bd1441696";

    #[test]
    fn signs_what_wechat_signs() {
        assert_eq!(sign(T3), T3_SIGNATURE);
        assert_eq!(sign(&["AAAAA", "1714037059", "486452656"]), "899cf89e464efb63f54ddac96b0a0a235f53aa78");
    }

    #[test]
    fn the_order_of_the_parts_does_not_matter() {
        assert_eq!(sign(&["1514711492", "AAAAA", "1714036504"]), T3_SIGNATURE);
    }

    #[test]
    fn verifies_the_exact_signature_only() {
        assert!(verify(T3, T3_SIGNATURE));
        for wrong in [
            "",
            "f464b24fc39322e44b38aa78f5edd27bd144169",
            "f464b24fc39322e44b38aa78f5edd27bd14416966",
            "f464b24fc39322e44b38aa78f5edd27bd1441697",
            &T3_SIGNATURE.to_uppercase(),
            &format!(" {T3_SIGNATURE}"),
            "微信",
        ] {
            assert!(!verify(T3, wrong), "{wrong}");
        }
    }

    #[test]
    fn a_changed_part_changes_the_signature() {
        assert!(!verify(&["AAAAB", "1714036504", "1514711492"], T3_SIGNATURE));
        assert!(!verify(&["AAAAA", "1714036505", "1514711492"], T3_SIGNATURE));
        assert!(!verify(&[], T3_SIGNATURE));
    }
}
