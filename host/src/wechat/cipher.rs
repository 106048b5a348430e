//! Safe mode: AES-256-CBC as WeChat frames it.
//!
//! The plaintext is 16 random bytes, the message's length as a big-endian `u32`, the message and the account's appid, padded to a
//! multiple of 32. CBC with a fixed IV authenticates nothing: whoever can change the ciphertext can flip chosen bits of the message
//! and have it accepted. Only `msg_signature`, which covers `Encrypt`, tells; verify it before decrypting.

use std::fmt;

use aes::Aes256;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::chars;
use super::document::MAX_BODY;

/// What the platform calls EncodingAESKey, decoded.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct AesKey([u8; 32]);

/// An EncodingAESKey that is not one. It never repeats the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The platform issues keys of one length only.
    #[error("the key has {0} characters, not 43")]
    Length(usize),
    /// The position counts from 1.
    #[error("character {0} of the key is not base64")]
    NotBase64(usize),
}

/// One account's keys.
#[derive(Debug, Clone)]
pub struct Cipher {
    current: AesKey,
    previous: Option<AesKey>,
    app_id: String,
}

/// Which of an account's keys a delivery was encrypted with; its reply goes out with the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichKey {
    /// The key that the platform shows now.
    Current,
    /// The key before that, which WeChat may go on using for a while after a change.
    Previous,
}

/// What was in `Encrypt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decrypted {
    /// The message, XML or JSON.
    pub message: Vec<u8>,
    /// The key that fitted.
    pub key: WhichKey,
}

/// Why `Encrypt` could not be read, for the operator's log. It must not reach the sender: told apart from outside, these causes are
/// a padding oracle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecryptError {
    /// Not base64, or not padded as base64 is.
    #[error("the ciphertext is not base64")]
    NotBase64,
    /// Longer than any body.
    #[error("the ciphertext has {0} characters, more than {max}", max = MAX_BODY)]
    TooLong(usize),
    /// AES works on blocks of 16 bytes, and the frame alone fills two.
    #[error("the ciphertext has {0} bytes, not a multiple of 16 from 32 on")]
    Length(usize),
    /// Nearly always the wrong key.
    #[error("the padding is wrong, which usually means another EncodingAESKey")]
    Padding,
    /// The length field points past the end.
    #[error("the message claims {claimed} bytes where at most {available} are left")]
    MessageLength {
        /// What the length field says.
        claimed: u32,
        /// What remains after the field.
        available: usize,
    },
    /// Decrypted well, but meant for another account; holds its appid, shortened and escaped.
    #[error("the message is for appid `{0}`")]
    AppId(String),
}

/// Bytes of the frame before the message: the random ones and the length field.
const FRAME_HEAD: usize = RANDOM + 4;
const RANDOM: usize = 16;

/// WeChat pads to twice the block size of AES, so a stock PKCS #7 implementation refuses every other message.
const PAD_BLOCK: usize = 32;

const AES_BLOCK: usize = 16;

/// Real keys are 43 random characters, of which the last carries two bits too many, so three quarters of them are not canonical
/// base64 and a strict decoder refuses them.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

const MESSAGE_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl AesKey {
    /// Reads the 43 characters that the platform shows.
    pub fn parse(key: &str) -> Result<Self, KeyError> {
        let found = key.chars().count();
        if found != 43 {
            return Err(KeyError::Length(found));
        }
        let stray = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/'));
        if let Some(at) = key.chars().position(stray) {
            return Err(KeyError::NotBase64(at + 1));
        }
        let mut bytes = [0; 32];
        match KEY_BASE64.decode_slice(key, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            // 43 characters of the alphabet are always 32 bytes and two loose bits.
            _ => Err(KeyError::NotBase64(43)),
        }
    }

    /// The protocol takes the IV from the key.
    fn iv(&self) -> &[u8; AES_BLOCK] {
        &self.0.as_chunks().0[0]
    }
}

impl fmt::Debug for AesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesKey(…)")
    }
}

impl Cipher {
    /// `previous` is the key before the last change, if the operator kept it: WeChat changes over without notice.
    pub fn new(current: AesKey, previous: Option<AesKey>, app_id: impl Into<String>) -> Self {
        Self { current, previous, app_id: app_id.into() }
    }

    /// The account's AppID.
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// Reads the value of `Encrypt` with whichever key fits. If none does, the error is the current key's.
    pub fn decrypt(&self, encrypt: &str) -> Result<Decrypted, DecryptError> {
        let encrypt = encrypt.trim_ascii();
        if encrypt.len() > MAX_BODY {
            return Err(DecryptError::TooLong(encrypt.len()));
        }
        let ciphertext = MESSAGE_BASE64.decode(encrypt).map_err(|_| DecryptError::NotBase64)?;
        if ciphertext.len() < 2 * AES_BLOCK || !ciphertext.len().is_multiple_of(AES_BLOCK) {
            return Err(DecryptError::Length(ciphertext.len()));
        }
        let error = match self.open(&self.current, ciphertext.clone()) {
            Ok(message) => {
                return Ok(Decrypted { message, key: WhichKey::Current });
            }
            Err(error) => error,
        };
        match self.previous.as_ref().map(|key| self.open(key, ciphertext)) {
            Some(Ok(message)) => Ok(Decrypted { message, key: WhichKey::Previous }),
            _ => Err(error),
        }
    }

    /// Encrypts a reply; the result is the value of `Encrypt`. `random` must be fresh for every reply, because the IV is not. With
    /// no previous key, [`WhichKey::Previous`] means the current one.
    pub fn encrypt(&self, key: WhichKey, random: [u8; RANDOM], message: &[u8]) -> String {
        let key = match (key, &self.previous) {
            (WhichKey::Previous, Some(previous)) => previous,
            _ => &self.current,
        };
        let framed = FRAME_HEAD + message.len() + self.app_id.len();
        let pad = PAD_BLOCK - framed % PAD_BLOCK;
        // A reply is bounded far below the range of the field.
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);

        let mut buffer = Vec::with_capacity(framed + pad);
        buffer.extend_from_slice(&random);
        buffer.extend_from_slice(&length.to_be_bytes());
        buffer.extend_from_slice(message);
        buffer.extend_from_slice(self.app_id.as_bytes());
        buffer.resize(framed + pad, pad as u8);

        let cbc = cbc::Encryptor::<Aes256>::new((&key.0).into(), key.iv().into());
        let padded = buffer.len();
        // Whole blocks that need no room for padding cannot fail.
        let encrypted = cbc.encrypt_padded::<NoPadding>(&mut buffer, padded);
        debug_assert!(encrypted.is_ok());
        MESSAGE_BASE64.encode(&buffer)
    }

    /// Decrypts whole blocks, two at least, and takes the frame apart.
    fn open(&self, key: &AesKey, mut buffer: Vec<u8>) -> Result<Vec<u8>, DecryptError> {
        let cbc = cbc::Decryptor::<Aes256>::new((&key.0).into(), key.iv().into());
        cbc.decrypt_padded::<NoPadding>(&mut buffer).map_err(|_| DecryptError::Padding)?;

        let framed = unpad(&buffer).ok_or(DecryptError::Padding)?;
        let (head, rest) = framed.split_at_checked(FRAME_HEAD).ok_or(DecryptError::Padding)?;
        let claimed = head[RANDOM..].iter().fold(0, |length, &byte| length << 8 | u32::from(byte));
        let (message, app_id) = usize::try_from(claimed)
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or(DecryptError::MessageLength { claimed, available: rest.len() })?;
        if app_id != self.app_id.as_bytes() {
            let received = String::from_utf8_lossy(app_id);
            return Err(DecryptError::AppId(chars::excerpt(&received)));
        }
        let end = FRAME_HEAD + message.len();
        buffer.truncate(end);
        buffer.drain(..FRAME_HEAD);
        Ok(buffer)
    }
}

/// Every byte of the padding counts: a laxer check would take random bytes for a message one time in eight.
fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let &last = padded.last()?;
    let pad = usize::from(last);
    if !(1..=PAD_BLOCK).contains(&pad) {
        return None;
    }
    let (framed, padding) = padded.split_at_checked(padded.len().checked_sub(pad)?)?;
    padding.iter().all(|&byte| byte == last).then_some(framed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wechat::signature;

    const T2: &str = "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ==";
    const W1: &str = "jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg==";
    const W1_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
    const W1_APP: &str = "wxb11529c136998cb6";

    fn key(text: &str) -> AesKey {
        AesKey::parse(text).unwrap()
    }

    fn t2() -> Cipher {
        Cipher::new(key(&"A".repeat(43)), None, "wxba5fad812f8e6fb9")
    }

    fn w1() -> Cipher {
        Cipher::new(key(W1_KEY), None, W1_APP)
    }

    fn both() -> Cipher {
        Cipher::new(key(&"A".repeat(43)), Some(key(W1_KEY)), W1_APP)
    }

    /// Encrypts bytes that need not be a frame.
    fn seal(bytes: &[u8]) -> String {
        let mut buffer = bytes.to_vec();
        let (key, length) = (key(W1_KEY), buffer.len());
        cbc::Encryptor::<Aes256>::new((&key.0).into(), key.iv().into())
            .encrypt_padded::<NoPadding>(&mut buffer, length)
            .unwrap();
        MESSAGE_BASE64.encode(&buffer)
    }

    #[test]
    fn reads_and_writes_tencents_vector() {
        let message = br#"{"demo_resp":"good luck"}"#;
        let read = t2().decrypt(T2).unwrap();
        assert_eq!(read, Decrypted { message: message.to_vec(), key: WhichKey::Current });
        assert_eq!(t2().encrypt(WhichKey::Current, *b"707722b803182950", message), T2);
        assert_eq!(
            signature::sign(&["AAAAA", "1713424427", "415670741", T2]),
            "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1"
        );
    }

    #[test]
    fn reads_and_writes_with_a_key_that_is_not_canonical_base64() {
        let message = "我是中文abcd123".as_bytes();
        assert_eq!(w1().decrypt(W1).unwrap().message, message);
        assert_eq!(w1().encrypt(WhichKey::Current, *b"aaaabbbbccccdddd", message), W1);
    }

    #[test]
    fn every_length_survives_the_round_trip_with_both_keys() {
        for length in 0..=100 {
            let message: Vec<u8> = (0..length).collect();
            for which in [WhichKey::Current, WhichKey::Previous] {
                let sealed = both().encrypt(which, [length; 16], &message);
                let opened = both().decrypt(&sealed).unwrap();
                assert_eq!(opened, Decrypted { message: message.clone(), key: which });
            }
        }
    }

    #[test]
    fn without_a_previous_key_the_current_one_answers() {
        let sealed = w1().encrypt(WhichKey::Previous, [7; 16], b"x");
        assert_eq!(w1().decrypt(&sealed).unwrap().key, WhichKey::Current);
    }

    #[test]
    fn names_what_is_wrong_with_a_key() {
        assert_eq!(AesKey::parse("").unwrap_err().to_string(), "the key has 0 characters, not 43");
        assert_eq!(AesKey::parse(&"A".repeat(42)), Err(KeyError::Length(42)));
        assert_eq!(AesKey::parse(&format!("{}=", "A".repeat(43))), Err(KeyError::Length(44)));
        assert_eq!(AesKey::parse(&"é".repeat(43)), Err(KeyError::NotBase64(1)));
        let stray = format!("{} {}", "A".repeat(20), "A".repeat(22));
        let error = AesKey::parse(&stray).unwrap_err();
        assert_eq!(error.to_string(), "character 21 of the key is not base64");
        assert_eq!(AesKey::parse(&format!("{}=", "A".repeat(42))), Err(KeyError::NotBase64(43)));
    }

    #[test]
    fn a_key_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", key(W1_KEY)), "AesKey(…)");
        assert!(!format!("{:?}", w1()).contains("97"));
    }

    #[test]
    fn tolerates_white_space_around_the_ciphertext_and_missing_padding() {
        assert!(t2().decrypt(&format!("\n {T2}\t\r\n")).is_ok());
        assert!(t2().decrypt(T2.trim_end_matches('=')).is_ok());
    }

    #[test]
    fn names_what_is_wrong_with_a_ciphertext() {
        let error = |encrypt: &str| w1().decrypt(encrypt).unwrap_err().to_string();
        assert_eq!(error("微信"), "the ciphertext is not base64");
        assert_eq!(error("AAAA AAAA"), "the ciphertext is not base64");
        let long = "A".repeat(MAX_BODY + 1);
        assert_eq!(error(&long), "the ciphertext has 1048577 characters, more than 1048576");
        assert_eq!(error(""), "the ciphertext has 0 bytes, not a multiple of 16 from 32 on");
        let one_block = "A".repeat(22) + "==";
        assert_eq!(error(&one_block), "the ciphertext has 16 bytes, not a multiple of 16 from 32 on");
        assert_eq!(error(&"A".repeat(44)), "the ciphertext has 33 bytes, not a multiple of 16 from 32 on");
        assert_eq!(error(T2), "the padding is wrong, which usually means another EncodingAESKey");
        let other = Cipher::new(key(W1_KEY), None, "wx\n");
        let foreign = other.encrypt(WhichKey::Current, [0; 16], b"hello");
        assert_eq!(error(&foreign), "the message is for appid `wx\\n`");
    }

    #[test]
    fn checks_every_byte_of_the_padding() {
        let mut frame = [0; 32].to_vec();
        for (last, whole) in [(0, true), (33, true), (255, true), (5, false)] {
            frame.splice(27.., [last; 5]);
            frame[27] = if whole { last } else { last + 1 };
            assert_eq!(w1().decrypt(&seal(&frame)), Err(DecryptError::Padding), "{last}");
        }
        // All of it padding leaves no room for a frame.
        assert_eq!(w1().decrypt(&seal(&[32; 32])), Err(DecryptError::Padding));
    }

    #[test]
    fn refuses_a_length_that_points_past_the_end() {
        for claimed in [9, u32::MAX] {
            let mut frame = [0; 16].to_vec();
            frame.extend_from_slice(&claimed.to_be_bytes());
            frame.extend_from_slice(b"12345678\x04\x04\x04\x04");
            let expected = DecryptError::MessageLength { claimed, available: 8 };
            assert_eq!(w1().decrypt(&seal(&frame)), Err(expected));
        }
    }

    #[test]
    fn when_no_key_fits_the_current_one_says_why() {
        let mut frame = [0; 16].to_vec();
        frame.extend_from_slice(&9_u32.to_be_bytes());
        frame.extend_from_slice(b"12345678\x04\x04\x04\x04");
        assert_eq!(both().decrypt(&seal(&frame)), Err(DecryptError::Padding));
    }

    proptest! {
        #[test]
        fn decrypts_what_it_encrypted(
            message in proptest::collection::vec(any::<u8>(), 0..600),
            random: [u8; 16],
            previous: bool,
        ) {
            let which = if previous { WhichKey::Previous } else { WhichKey::Current };
            let opened = both().decrypt(&both().encrypt(which, random, &message));
            prop_assert_eq!(opened, Ok(Decrypted { message, key: which }));
        }

        /// CBC lets an attacker change the message, so this is all there is: the frame stays whole, and the signature tells.
        #[test]
        fn a_changed_byte_never_passes_the_signature(
            message in proptest::collection::vec(any::<u8>(), 0..80),
            random: [u8; 16],
            at: proptest::sample::Index,
            change in 1..=255_u8,
        ) {
            let sealed = w1().encrypt(WhichKey::Current, random, &message);
            let signed = signature::sign(&["token", "1", "2", &sealed]);
            let mut bytes = MESSAGE_BASE64.decode(&sealed).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            let tampered = MESSAGE_BASE64.encode(&bytes);
            prop_assert!(!signature::verify(&["token", "1", "2", &tampered], &signed));
            if let Ok(opened) = w1().decrypt(&tampered) {
                prop_assert_eq!(opened.message.len(), message.len());
                prop_assert_ne!(opened.message, message);
            }
        }

        #[test]
        fn no_ciphertext_panics(encrypt in ".{0,200}", blocks in proptest::collection::vec(any::<u8>(), 0..160)) {
            let _ = both().decrypt(&encrypt);
            let _ = both().decrypt(&MESSAGE_BASE64.encode(&blocks));
            let _ = both().decrypt(&seal(&blocks[..blocks.len() / 16 * 16]));
        }
    }
}
